//! A Policy Engine over HTTP.
//!
//! | asked for | answer |
//! |---|---|
//! | `GET {base}/policy/snapshots?tenant_id=&after_cursor=&limit=` | `{items: [{snapshot_id, generated_at, …}], next_cursor}`, oldest first |
//! | `GET {base}/policy/snapshots/{id}?tenant_id=` | the snapshot; its canonical text is what a run pins |
//! | `GET {base}/policy/snapshots/{id}/findings?tenant_id=&after_cursor=&limit=` | pages of JSON lines, see [`crate::remote`]: findings in any form that import takes, by component and advisory |

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::{TenantId, Timestamp};
use futures::stream;
use serde::Deserialize;

use super::source::BATCH_FINDINGS;
use super::{FindingStream, PolicyError, PolicyFinding, PolicySnapshot, PolicySource, SnapshotName};
use crate::import::ImportLimits;
use crate::import::convert::{Converter, PolicyDocument};
use crate::remote::{Page, Pages, Question, Remote, RemoteError, RemoteSettings};

/// Snapshots in a page of the list, and most pages: a tenant with more than 100,000 snapshots has an engine that forgets nothing.
const SNAPSHOTS_PER_PAGE: u32 = 100;
const MAX_PAGES: u32 = 1_000;

/// A policy source that is a Policy Engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpPolicyEngine {
    remote: Remote,
}

/// A page of the list of snapshots.
#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
    #[serde(default, alias = "nextCursor")]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "snapshotId")]
    snapshot_id: String,
    #[serde(alias = "generatedAt")]
    generated_at: Timestamp,
    #[serde(default, alias = "tenantId")]
    tenant_id: Option<String>,
}

impl HttpPolicyEngine {
    /// An engine at an address. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting cannot be what it should be.
    pub fn new(settings: &RemoteSettings) -> Result<Self, RemoteError> {
        Remote::new(settings).map(|remote| Self { remote })
    }

    fn question(tenant: &TenantId, path: &[&str], limit: Option<u32>) -> Question {
        let path = ["policy", "snapshots"].iter().chain(path).map(|name| (*name).to_owned()).collect();
        let mut query = vec![("tenant_id", tenant.to_string())];
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        Question { path, query, tenant: tenant.clone() }
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<SnapshotName>, RemoteError> {
        let mut names: Vec<SnapshotName> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut question = Self::question(tenant, &[], Some(SNAPSHOTS_PER_PAGE));
            question.query.extend(after.clone().map(|cursor| ("after_cursor", cursor)));
            let Some(text) = self.remote.document(&question).await? else { break };
            let List { items, next_cursor } = serde_json::from_slice(&text)
                .map_err(|cause| RemoteError::Form(format!("the list of snapshots: {cause}")))?;
            for Item { snapshot_id, generated_at, tenant_id } in items {
                check_tenant(tenant, tenant_id.as_deref())?;
                names.push(SnapshotName { snapshot_id, generated_at });
            }
            let next = next_cursor.filter(|cursor| !cursor.is_empty());
            if next.is_some() && next == after {
                return Err(RemoteError::Endless("a page leads back to one that was read before"));
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        if after.is_some() {
            return Err(RemoteError::Endless("the list of snapshots has more pages than are read"));
        }
        names.sort_by(|a, b| (a.generated_at, &a.snapshot_id).cmp(&(b.generated_at, &b.snapshot_id)));
        Ok(names)
    }

    async fn read(&self, tenant: &TenantId, id: &str) -> Result<Option<PolicySnapshot>, RemoteError> {
        let Some(text) = self.remote.document(&Self::question(tenant, &[id], None)).await? else {
            return Ok(None);
        };
        match parse(&mut converter(), text, tenant)? {
            PolicyDocument::Snapshot(snapshot) if snapshot.snapshot_id == id => Ok(Some(snapshot)),
            _ => Err(RemoteError::Form(format!("what was given as snapshot `{id}` is not that snapshot"))),
        }
    }
}

#[async_trait]
impl PolicySource for HttpPolicyEngine {
    async fn snapshots(&self, tenant: &TenantId) -> Result<Vec<SnapshotName>, PolicyError> {
        self.list(tenant).await.map_err(|cause| failed(format!("list policy snapshots of tenant `{tenant}`"), cause))
    }

    async fn snapshot(&self, tenant: &TenantId, snapshot_id: &str) -> Result<Option<PolicySnapshot>, PolicyError> {
        let failed = |cause| failed(format!("read policy snapshot `{snapshot_id}` of tenant `{tenant}`"), cause);
        self.read(tenant, snapshot_id).await.map_err(failed)
    }

    async fn newest(&self, tenant: &TenantId) -> Result<Option<PolicySnapshot>, PolicyError> {
        match self.snapshots(tenant).await?.pop() {
            Some(newest) => self.snapshot(tenant, &newest.snapshot_id).await,
            None => Ok(None),
        }
    }

    async fn findings(&self, tenant: &TenantId, snapshot_id: &str) -> Result<FindingStream, PolicyError> {
        let act: Arc<str> = format!("read the findings of policy snapshot `{snapshot_id}` of tenant `{tenant}`").into();
        let limit = u32::try_from(BATCH_FINDINGS).ok();
        let question = Self::question(tenant, &[snapshot_id, "findings"], limit);
        let pages = Pages::new(self.remote.clone(), question, "after_cursor", None);
        let reader = Arc::new(Reader { tenant: tenant.clone(), snapshot_id: snapshot_id.to_owned() });
        let engine = self.clone();
        Ok(Box::pin(stream::try_unfold(pages, move |mut pages| {
            let (engine, reader, act) = (engine.clone(), reader.clone(), act.clone());
            async move {
                let failed = |cause| failed(act.to_string(), cause);
                loop {
                    let page = match pages.next().await {
                        Err(gone @ RemoteError::Status { status: 404 | 410, .. }) => {
                            // No findings is one thing, findings that cannot be had are another (design D11).
                            let known = engine.read(&reader.tenant, &reader.snapshot_id).await.map_err(failed)?;
                            return if known.is_some() { Err(failed(gone)) } else { Ok(None) };
                        }
                        page => page.map_err(failed)?,
                    };
                    let Some(Page { lines, .. }) = page else { return Ok(None) };
                    if lines.is_empty() {
                        continue;
                    }
                    let work = tokio::task::spawn_blocking(move || reader.findings(lines)).await;
                    let findings = work.map_err(|cause| PolicyError::refused(act.to_string(), cause))?;
                    return Ok(Some((findings.map_err(failed)?, pages)));
                }
            }
        })))
    }
}

/// Parses lines of a snapshot's findings.
struct Reader {
    tenant: TenantId,
    snapshot_id: String,
}

impl Reader {
    fn findings(&self, lines: Vec<Bytes>) -> Result<Vec<PolicyFinding>, RemoteError> {
        let mut converter = converter();
        lines.into_iter().map(|line| self.finding(&mut converter, line)).collect()
    }

    fn finding(&self, converter: &mut Converter, line: Bytes) -> Result<PolicyFinding, RemoteError> {
        let PolicyDocument::Finding(mut finding) = parse(converter, line, &self.tenant)? else {
            return Err(RemoteError::Form("a line is no finding".to_owned()));
        };
        if finding.snapshot_id.is_empty() {
            finding.snapshot_id.clone_from(&self.snapshot_id);
        }
        if finding.snapshot_id == self.snapshot_id {
            Ok(finding)
        } else {
            Err(RemoteError::Form(format!("a finding is of snapshot `{}`", finding.snapshot_id)))
        }
    }
}

/// A snapshot without a time is as old as can be, each time that it is read.
fn converter() -> Converter {
    Converter::new(&ImportLimits::default(), SystemTime::UNIX_EPOCH.into(), None)
}

fn parse(converter: &mut Converter, text: Bytes, tenant: &TenantId) -> Result<PolicyDocument, RemoteError> {
    let (document, owner) = converter.policy(text).map_err(RemoteError::Form)?;
    check_tenant(tenant, owner.as_deref())?;
    Ok(document)
}

fn check_tenant(tenant: &TenantId, owner: Option<&str>) -> Result<(), RemoteError> {
    match owner {
        Some(owner) if owner != tenant.as_str() => {
            Err(RemoteError::OtherTenant { found: owner.chars().take(64).collect() })
        }
        _ => Ok(()),
    }
}

fn failed(act: String, cause: RemoteError) -> PolicyError {
    let cause: (bool, Box<dyn std::error::Error + Send + Sync>) = (cause.is_transient(), cause.into());
    match cause {
        (true, cause) => PolicyError::Unavailable { act, cause },
        (false, cause) => PolicyError::Refused { act, cause },
    }
}
