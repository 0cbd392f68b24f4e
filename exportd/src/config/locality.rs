//! Which addresses are local, for deployments that are offline.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Whether `address` (`scheme://host:port/…`, or `host:port`) names a host that is local: this machine, an address of a private or
/// link-local network (RFC 1918, 4193, 3927, 4291), a name without a dot (another container of the same network), a name under
/// `localhost`, `local`, `internal` or `home.arpa` (RFC 6761, 6762, 8375), or one of `local_hosts`.
pub(crate) fn is_local(address: &str, local_hosts: &BTreeSet<String>) -> bool {
    let host = host(address);
    if host.is_empty() {
        return false;
    }
    if local_hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.')
                || [".localhost", ".local", ".internal", ".home.arpa"].iter().any(|end| name.ends_with(end))
        }
    }
}

/// The host of an address, without scheme, user, port and path.
pub(crate) fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next().unwrap_or_default();
    }
    match host.split_once(':') {
        // More than one colon: an IPv6 address without brackets.
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{host, is_local};

    #[test]
    fn local_is_what_a_site_without_the_internet_can_reach() {
        let known = BTreeSet::from(["registry.example".to_owned()]);
        for local in [
            "http://127.0.0.1:9000",
            "https://10.1.2.3",
            "192.168.0.1:5000",
            "http://[::1]:9000/x",
            "http://[fd00::1]",
            "fe80::1",
            "minio:9000",
            "localhost",
            "https://vault.localhost:8200",
            "nats://user:pass@nats:4222",
            "https://s3.corp.internal/bucket",
            "printer.local.",
            "https://REGISTRY.example:5000",
        ] {
            assert!(is_local(local, &known), "{local}");
        }
        for remote in [
            "",
            "https://",
            "https://s3.amazonaws.com",
            "https://8.8.8.8",
            "http://[2001:db8::1]:80",
            "https://evil.example/127.0.0.1",
            "https://127.0.0.1@evil.example",
            "https://localhost.evil.example",
            "https://local.evil.example",
            "https://notregistry.example",
        ] {
            assert!(!is_local(remote, &known), "{remote}");
        }
    }

    #[test]
    fn the_host_is_found_in_any_form_of_address() {
        for (address, expected) in [
            ("https://a.example:8200/x?y#z", "a.example"),
            ("a.example", "a.example"),
            ("nats://u:p@[::1]:4222", "::1"),
            ("fd00::1", "fd00::1"),
        ] {
            assert_eq!(host(address), expected);
        }
    }
}
