//! Which addresses messages may be sent to.
//!
//! Whoever makes a webhook has this program send a request from where it stands: into a network that they may not be able
//! to reach themselves. So nothing but public addresses is sent to unless the operator names the host, and what counts is the
//! address that is connected to, not the name.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Longest address of a webhook, bytes.
const MAX_URL: usize = 2_048;

/// Why a message is not sent to an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    /// It is no address of a web server.
    #[error("`{0}` is not an address such as https://hooks.example/export")]
    NotOne(String),
    /// It would be sent in the clear.
    #[error("`{0}` is not reached over https; `webhooks.allow_http_hosts` names hosts that need not be")]
    Plain(String),
    /// It has a user or password in it.
    #[error("the address must not hold a user or password: messages are signed")]
    Credentials,
    /// It is not public.
    #[error("`{host}` is not at a public address; `webhooks.allow_private_hosts` names hosts that need not be")]
    Private {
        /// The host of the address.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// It is public, and this deployment is offline.
    #[error("`{host}` is not at a local address, and this deployment is offline")]
    Offline {
        /// The host of the address.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// The name has no address.
    #[error("`{0}` has no address")]
    Unknown(String),
}

/// What an operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Hosts that may be sent to over plain HTTP.
    pub allow_http_hosts: BTreeSet<String>,
    /// Hosts that may be at private, loopback or link-local addresses.
    pub allow_private_hosts: BTreeSet<String>,
    /// Whether nothing but such addresses may be sent to.
    pub offline: bool,
}

impl AddressRules {
    /// Judges the address of a webhook by what is written: the rest is judged when it is connected to.
    ///
    /// # Errors
    /// When nothing would ever be sent there.
    pub fn check_url(&self, url: &str) -> Result<(), AddressRefused> {
        self.judged(url).map(|_| ())
    }

    pub(crate) fn judged(&self, text: &str) -> Result<Url, AddressRefused> {
        let not_one = || AddressRefused::NotOne(text.chars().take(200).collect());
        if text.len() > MAX_URL {
            return Err(not_one());
        }
        let url = Url::parse(text).map_err(|_| not_one())?;
        let host = url.host_str().ok_or_else(not_one)?.to_owned();
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http_hosts.contains(&host) => {}
            "http" => return Err(AddressRefused::Plain(host)),
            _ => return Err(not_one()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressRefused::Credentials);
        }
        // A name is judged when it is looked up; what is an address already is not looked up.
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            self.allows(&host, address)?;
        }
        Ok(url)
    }

    /// Judges an address that a host is at.
    ///
    /// # Errors
    /// When it is not to be connected to.
    pub fn allows(&self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        let host = host.to_owned();
        match is_public(address) {
            true if self.offline => Err(AddressRefused::Offline { host, address }),
            false if !self.allow_private_hosts.contains(&host) => Err(AddressRefused::Private { host, address }),
            _ => Ok(()),
        }
    }
}

/// Whether an address is one of the open Internet: neither private, nor of this machine or link (where clouds keep their
/// metadata), nor set aside for anything.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let number = (u32::from(high) << 16) | u32::from(low);
        is_public_v4(Ipv4Addr::from_bits(number))
    };
    match address.segments() {
        // An IPv4 address in another coat: mapped, of a translator, or of 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo and others of the special block, documentation.
        [0x2001, 0..0x200 | 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}
