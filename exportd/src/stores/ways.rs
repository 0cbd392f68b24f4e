//! What this deployment hands over by, and whom its runs speak to.

use std::collections::BTreeMap;

use export_contract::profile::DistributionKind;
use export_plan::{Destination, Ways};

use crate::config::locality::{host, is_local};
use crate::config::{Config, PolicyDriver, SigningDriver, StagingDriver, StoreDriver, TokenFrom};
use crate::secrets;

/// Amazon, where a setting leaves the address to the client.
const AMAZON: &str = "amazonaws.com";

/// The ways of `allow.distribution` with the hosts that they lead to, and the hosts of the deployment's own services.
pub(crate) fn ways(config: &Config) -> anyhow::Result<Ways> {
    let mut ways = Ways { kinds: BTreeMap::new(), services: services(config)? };
    for kind in config.allow.distribution.iter().copied() {
        let destinations = match kind {
            DistributionKind::Http | DistributionKind::Directory => Vec::new(),
            DistributionKind::Object => vec![destination(config, &config.object.endpoint)],
            // No registry is local enough: a push leaves the site (specification, "Deployment considerations").
            DistributionKind::Oci => {
                let registry = |host: &str| Destination { host: host.to_owned(), may_be_reached: !config.offline };
                config.oci.registries.iter().map(|known| registry(&known.host)).collect()
            }
        };
        ways.kinds.insert(kind, destinations);
    }
    Ok(ways)
}

fn destination(config: &Config, address: &str) -> Destination {
    let address = if address.is_empty() { AMAZON } else { address };
    let may_be_reached = !config.offline || is_local(address, &config.local_hosts);
    Destination { host: host(address).to_owned(), may_be_reached }
}

fn services(config: &Config) -> anyhow::Result<BTreeMap<String, Destination>> {
    let mut services = BTreeMap::new();
    let mut add = |setting: &str, address: &str| {
        services.insert(setting.to_owned(), destination(config, address));
    };
    if !config.nats.url.is_empty() {
        add("nats.url", &config.nats.url);
    }
    if config.staging.driver == StagingDriver::S3 {
        add("staging.endpoint", &config.staging.endpoint);
    }
    if config.policy.driver == PolicyDriver::Http {
        add("policy.base_url", &config.policy.base_url);
        if config.policy.token == TokenFrom::Authority {
            add("authority.token_url", &config.authority.token_url);
        }
    }
    if !config.authority.secrets_url.is_empty() {
        add("authority.secrets_url", &config.authority.secrets_url);
    }
    let signing = &config.signing;
    let drivers: Vec<SigningDriver> =
        std::iter::once(signing.driver).chain(signing.keys.iter().map(|key| key.driver)).collect();
    if drivers.contains(&SigningDriver::Vault) {
        add("signing.vault_address", &signing.vault_address);
    }
    if drivers.contains(&SigningDriver::AwsKms) {
        add("signing.kms_endpoint", &signing.kms_endpoint);
    }
    if config.encryption.kms {
        add("encryption.kms_endpoint", &config.encryption.kms_endpoint);
    }
    if !config.encryption.vault_address.is_empty() {
        add("encryption.vault_address", &config.encryption.vault_address);
    }
    if config.store.driver == StoreDriver::Mongodb && config.offline {
        for address in mongo_hosts(&secrets::read(&config.store.uri_file)?) {
            // One that is not local among several is what a run must be told of.
            let found = destination(config, &address);
            let worse = services.get("store.uri_file").is_none_or(|known: &Destination| known.may_be_reached);
            if worse {
                services.insert("store.uri_file".to_owned(), found);
            }
        }
    }
    Ok(services)
}

/// The hosts of a connection string: `mongodb://user:password@a:1,b:2/name`, or the one name of `mongodb+srv://`.
fn mongo_hosts(uri: &str) -> Vec<String> {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use export_contract::profile::DistributionKind;

    use super::{mongo_hosts, ways};
    use crate::config::Config;

    #[test]
    fn offline_bars_what_is_not_local_and_nothing_else() {
        let mut config = Config { offline: true, ..Config::default() };
        config.allow.distribution = [DistributionKind::Http, DistributionKind::Object].into();
        config.nats.url = "nats://nats:4222".to_owned();
        let found = ways(&config).unwrap();
        assert!(found.services["nats.url"].may_be_reached);
        assert!(!found.kinds[&DistributionKind::Object][0].may_be_reached, "Amazon's, where no endpoint is named");
        config.object.endpoint = "http://10.0.0.7:8333".to_owned();
        config.nats.url = "nats://broker.example:4222".to_owned();
        let found = ways(&config).unwrap();
        assert!(!found.services["nats.url"].may_be_reached);
        assert!(found.kinds[&DistributionKind::Object][0].may_be_reached);
        config.local_hosts.insert("broker.example".to_owned());
        assert!(ways(&config).unwrap().services["nats.url"].may_be_reached);
    }

    #[test]
    fn the_hosts_of_a_connection_string_are_found() {
        assert_eq!(mongo_hosts("mongodb://u:p%40@a.example:1,b:2/db?x=y"), ["a.example:1", "b:2"]);
        assert_eq!(mongo_hosts("mongodb+srv://cluster.example/"), ["cluster.example"]);
    }
}
