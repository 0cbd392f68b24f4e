//! How much at once, and how much on a day.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::TenantId;
use export_contract::profile::ProfileKind;
use export_gateway::Rate;
use export_orchestrator::Caps;
use export_runs::{QuotaRules, Quotas, SlotCaps};
use serde::{Deserialize, Serialize};

/// How much at once, and how much on a day. 0 of a quota is no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Running runs of one tenant, 1 to 1000.
    pub(crate) active_runs: u32,
    /// Largest request body, bytes, 1 KiB to 64 MiB.
    pub(crate) body_bytes: usize,
    /// Followers of event streams at one gateway.
    pub(crate) event_streams: usize,
    /// Runs of one tenant that wait for a slot.
    pub(crate) pending_runs: u32,
    /// Runs that one tenant may submit on one day of UTC.
    pub(crate) runs_per_day: u32,
    /// Bytes of bundles that one tenant may make on one day of UTC.
    pub(crate) bytes_per_day: u64,
    /// Running runs of one tenant by kind of profile, 1 to 1000.
    pub(crate) profile_active_runs: BTreeMap<ProfileKind, u32>,
    /// Requests a second of one caller for one tenant; 0: no limit.
    pub(crate) requests_per_second: u32,
    /// Requests of one at once.
    pub(crate) request_burst: u32,
    /// Wrong credentials a second from one address; 0: no limit.
    pub(crate) failures_per_second: u32,
    /// Wrong credentials from one at once.
    pub(crate) failure_burst: u32,
    /// What these tenants have instead.
    pub(crate) tenants: Vec<TenantLimits>,
}

/// What a tenant has instead; what is not set is as for the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantLimits {
    /// Which.
    pub(crate) tenant: TenantId,
    /// Its running runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active_runs: Option<u32>,
    /// Its waiting runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending_runs: Option<u32>,
    /// Its runs on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runs_per_day: Option<u32>,
    /// Its bytes on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_day: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            active_runs: 4,
            body_bytes: 1 << 20,
            event_streams: 500,
            pending_runs: 1_000,
            runs_per_day: 10_000,
            bytes_per_day: 0,
            profile_active_runs: BTreeMap::new(),
            requests_per_second: 200,
            request_burst: 1_000,
            failures_per_second: 10,
            failure_burst: 1_000,
            tenants: Vec::new(),
        }
    }
}

impl Limits {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, text: String| {
            if !good {
                faults.push(format!("limits.{text}"));
            }
        };
        expect((1..=1_000).contains(&self.active_runs), "active_runs: use 1 to 1000".to_owned());
        expect((1_024..=64 << 20).contains(&self.body_bytes), "body_bytes: use 1024 to 67108864".to_owned());
        expect((1..=100_000).contains(&self.event_streams), "event_streams: use 1 to 100000".to_owned());
        expect(self.request_burst > 0, "request_burst: use 1 or more".to_owned());
        expect(self.failure_burst > 0, "failure_burst: use 1 or more".to_owned());
        for (kind, cap) in &self.profile_active_runs {
            expect((1..=1_000).contains(cap), format!("profile_active_runs: `{kind}`: use 1 to 1000"));
        }
        let mut seen = BTreeSet::new();
        for (number, TenantLimits { tenant, active_runs, .. }) in self.tenants.iter().enumerate() {
            expect(seen.insert(tenant), format!("tenants[{number}].tenant: `{tenant}` is there twice"));
            let good = active_runs.is_none_or(|cap| (1..=1_000).contains(&cap));
            expect(good, format!("tenants[{number}].active_runs: use 1 to 1000"));
        }
        faults
    }

    /// What submits are judged by.
    pub(crate) fn quotas(&self) -> QuotaRules {
        let set = |limit: u32| Some(limit).filter(|limit| *limit > 0);
        let of = |active: u32, pending: u32, runs: u32, bytes: u64| Quotas {
            slots: SlotCaps { active, by_kind: self.profile_active_runs.clone() },
            pending_runs: set(pending),
            runs_per_day: set(runs),
            bytes_per_day: Some(bytes).filter(|bytes| *bytes > 0),
        };
        let tenants = self.tenants.iter().map(|own| {
            let quotas = of(
                own.active_runs.unwrap_or(self.active_runs),
                own.pending_runs.unwrap_or(self.pending_runs),
                own.runs_per_day.unwrap_or(self.runs_per_day),
                own.bytes_per_day.unwrap_or(self.bytes_per_day),
            );
            (own.tenant.clone(), quotas)
        });
        QuotaRules {
            default: of(self.active_runs, self.pending_runs, self.runs_per_day, self.bytes_per_day),
            tenants: tenants.collect(),
        }
    }

    /// What admission goes by.
    pub(crate) fn caps(&self) -> Caps {
        let own = self.tenants.iter().filter_map(|own| Some((own.tenant.clone(), own.active_runs?)));
        Caps { default: self.active_runs, tenants: own.collect(), kinds: self.profile_active_runs.clone() }
    }

    /// How often a caller may ask.
    pub(crate) fn requests(&self) -> Rate {
        Rate { per_second: self.requests_per_second, burst: self.request_burst }
    }

    /// How often an address may be wrong.
    pub(crate) fn failures(&self) -> Rate {
        Rate { per_second: self.failures_per_second, burst: self.failure_burst }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn a_tenant_has_its_own_limits_and_the_others_where_it_names_none() {
        let text = "[limits]\nruns_per_day = 5\nbytes_per_day = 7\n\
                    profile_active_runs = { 'trivy:db' = 1 }\n\
                    [[limits.tenants]]\ntenant = 'acme'\nactive_runs = 2\nruns_per_day = 0\n";
        let limits = load(text, &[]).unwrap().limits;
        let rules = limits.quotas();
        let (acme, other) = (rules.of(&"acme".parse().unwrap()), rules.of(&"globex".parse().unwrap()));
        assert_eq!((acme.slots.active, acme.runs_per_day, acme.bytes_per_day), (2, None, Some(7)));
        assert_eq!((other.slots.active, other.runs_per_day, other.pending_runs), (4, Some(5), Some(1_000)));
        assert_eq!(other.slots.by_kind.len(), 1);
        let caps = limits.caps();
        assert_eq!(caps.of(&"acme".parse().unwrap()), acme.slots);
        assert_eq!(caps.of(&"globex".parse().unwrap()), other.slots);
        let config = load("", &[("EXPORT_LIMITS_REQUESTS_PER_SECOND", "0")]).unwrap();
        assert_eq!(config.limits.requests().per_second, 0);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (text, fault) in [
            ("[limits]\nactive_runs = 0\n", "limits.active_runs: use 1 to 1000"),
            ("[limits]\nrequest_burst = 0\n", "limits.request_burst: use 1 or more"),
            (
                "[limits]\nprofile_active_runs = { 'json:raw' = 0 }\n",
                "limits.profile_active_runs: `json:raw`: use 1 to 1000",
            ),
            ("[limits]\nprofile_active_runs = { 'json:roe' = 1 }\n", "json:roe"),
            (
                "[[limits.tenants]]\ntenant = 'a'\n[[limits.tenants]]\ntenant = 'a'\n",
                "limits.tenants[1].tenant: `a` is there twice",
            ),
            ("[[limits.tenants]]\ntenant = 'a'\nactive_runs = 0\n", "limits.tenants[0].active_runs: use 1 to 1000"),
            ("[[limits.tenants]]\nruns_per_day = 1\n", "missing field `tenant`"),
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
