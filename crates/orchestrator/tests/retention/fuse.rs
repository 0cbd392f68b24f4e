//! Ports that stop answering after so many calls, as they do for a process that is killed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome};
use export_contract::event::RunEvent;
use export_contract::message::Distribution;
use export_contract::profile::{DistributionKind, Profile, ProfileKind};
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{ProfileId, RunId, TenantId, Timestamp};
use export_runs::{
    Admission, CancelOutcome, CreateOutcome, DeleteOutcome, NewEvent, Quotas, ReplayWanted, Replayed, RetentionStep,
    RetentionStore, RunFilter, RunPage, RunStore, RunStoreError, SlotCaps, StepOutcome, Submitted, Usage,
};
use export_targets::{Delivery, Removal, Target, TargetError};
use tokio::sync::{Notify, Semaphore};

/// Blows after a number of calls.
#[derive(Debug)]
pub(crate) struct Fuse {
    left: AtomicI64,
    blown: Notify,
    /// Has permits once those who are held up may go on.
    mended: Semaphore,
}

impl Fuse {
    pub(crate) fn after(calls: Option<u16>) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(calls.map_or(i64::MAX, i64::from)),
            blown: Notify::new(),
            mended: Semaphore::new(0),
        })
    }

    /// Does `work` until it is through or killed; whether it came through.
    pub(crate) async fn guards<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.blown.notified() => None,
            done = work => Some(done),
        }
    }

    /// Waits until a call is held up.
    pub(crate) async fn reached(&self) {
        self.blown.notified().await;
    }

    /// Lets whoever is held up go on: the process was slow, and not killed.
    pub(crate) fn mend(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
        self.mended.add_permits(Semaphore::MAX_PERMITS);
    }

    async fn call(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.blown.notify_one();
            drop(self.mended.acquire().await);
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Debug)]
pub(crate) struct Fused<T: ?Sized> {
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) inner: Arc<T>,
}

#[async_trait]
impl Target for Fused<dyn Target> {
    fn kind(&self) -> DistributionKind {
        self.inner.kind()
    }

    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        self.inner.place(delivery).await
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        self.inner.distribute(delivery).await
    }

    async fn remove(&self, run: &RunRef, distribution: &Distribution) -> Result<Removal, TargetError> {
        self.fuse.call().await;
        self.inner.remove(run, distribution).await
    }
}

#[async_trait]
impl BlobStore for Fused<dyn BlobStore> {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        self.inner.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError> {
        self.fuse.call().await;
        self.inner.put_if_absent(key, bytes).await
    }

    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.inner.writer().await
    }

    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        self.fuse.call().await;
        self.inner.get(key, limit).await
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError> {
        self.inner.read(key, range).await
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError> {
        self.inner.head(key).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.fuse.call().await;
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError> {
        self.inner.list(prefix).await
    }

    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError> {
        self.inner.names(prefix).await
    }

    async fn tidy(&self, prefix: &BlobKey) -> Result<(), BlobError> {
        self.fuse.call().await;
        self.inner.tidy(prefix).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.inner.check().await
    }
}

type Answer<T> = Result<T, RunStoreError>;

#[async_trait]
impl RetentionStore for Fused<dyn RetentionStore> {
    async fn tenants_with_bytes(&self) -> Answer<Vec<TenantId>> {
        self.fuse.call().await;
        self.inner.tenants_with_bytes().await
    }

    async fn runs_with_bytes(&self, tenant: &TenantId, after: Option<&RunId>, limit: u32) -> Answer<Vec<Run>> {
        self.fuse.call().await;
        self.inner.runs_with_bytes(tenant, after, limit).await
    }

    async fn retain(&self, tenant: &TenantId, run: &RunId, step: &RetentionStep, now: Timestamp) -> Answer<bool> {
        self.fuse.call().await;
        self.inner.retain(tenant, run, step, now).await
    }
}

#[async_trait]
impl RunStore for Fused<dyn RetentionStore> {
    async fn profiles(&self, tenant: &TenantId) -> Answer<Vec<Profile>> {
        self.inner.profiles(tenant).await
    }

    async fn profile(&self, tenant: &TenantId, id: &ProfileId, revision: Option<u32>) -> Answer<Option<Profile>> {
        self.inner.profile(tenant, id, revision).await
    }

    async fn create_profile(&self, profile: &Profile) -> Answer<CreateOutcome<Profile>> {
        self.inner.create_profile(profile).await
    }

    async fn update_profile(&self, profile: &Profile, expected: u32) -> Answer<bool> {
        self.inner.update_profile(profile, expected).await
    }

    async fn profile_revisions(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        before: Option<u32>,
        limit: u32,
    ) -> Answer<Vec<Profile>> {
        self.inner.profile_revisions(tenant, id, before, limit).await
    }

    async fn delete_profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        by: &str,
        now: Timestamp,
    ) -> Answer<DeleteOutcome> {
        self.inner.delete_profile(tenant, id, by, now).await
    }

    async fn create_run(&self, run: &Run, idempotency: Option<(&str, &str)>) -> Answer<CreateOutcome<Run>> {
        self.inner.create_run(run, idempotency).await
    }

    async fn run(&self, tenant: &TenantId, id: &RunId) -> Answer<Option<Run>> {
        self.fuse.call().await;
        self.inner.run(tenant, id).await
    }

    async fn runs(&self, tenant: &TenantId, filter: &RunFilter) -> Answer<RunPage> {
        self.inner.runs(tenant, filter).await
    }

    async fn events(&self, tenant: &TenantId, id: &RunId, after: u64, limit: u32) -> Answer<Vec<RunEvent>> {
        self.inner.events(tenant, id, after, limit).await
    }

    async fn submit_run(&self, run: &Run, idempotency: Option<(&str, &str)>, quotas: &Quotas) -> Answer<Submitted> {
        self.inner.submit_run(run, idempotency, quotas).await
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Answer<Usage> {
        self.inner.usage(tenant, now).await
    }

    async fn admit_within(&self, tenant: &TenantId, caps: &SlotCaps, now: Timestamp) -> Answer<Admission> {
        self.inner.admit_within(tenant, caps, now).await
    }

    async fn record(&self, run: &RunRef, event: &NewEvent, outcome: &StepOutcome) -> Answer<bool> {
        self.inner.record(run, event, outcome).await
    }

    async fn cancel(&self, tenant: &TenantId, id: &RunId, by: &str, now: Timestamp) -> Answer<CancelOutcome> {
        self.inner.cancel(tenant, id, by, now).await
    }

    async fn replay_run(&self, wanted: &ReplayWanted, quotas: &Quotas) -> Answer<Replayed> {
        self.inner.replay_run(wanted, quotas).await
    }

    async fn tenants_waiting(&self) -> Answer<Vec<TenantId>> {
        self.inner.tenants_waiting().await
    }

    async fn silent_runs(&self, status: RunStatus, silent_since: Timestamp, limit: u32) -> Answer<Vec<Run>> {
        self.inner.silent_runs(status, silent_since, limit).await
    }

    async fn active(&self) -> Answer<BTreeMap<TenantId, u32>> {
        self.inner.active().await
    }

    async fn last_successes(&self) -> Answer<BTreeMap<ProfileKind, Timestamp>> {
        self.inner.last_successes().await
    }

    async fn check(&self) -> Answer<()> {
        self.inner.check().await
    }
}

/// A broker that nobody listens to.
#[derive(Debug)]
pub(crate) struct Silence;

#[async_trait]
impl export_pipeline::RunQueue for Silence {
    async fn requested(&self, _run: &RunRef) -> Result<(), export_pipeline::QueueError> {
        Ok(())
    }

    async fn admitted(
        &self,
        _run: &RunRef,
        _admission: &export_contract::message::ResultRef,
    ) -> Result<(), export_pipeline::QueueError> {
        Ok(())
    }

    async fn done(
        &self,
        _run: &RunRef,
        _phase: export_contract::run::Phase,
        _part: Option<export_contract::PartIndex>,
        _parts: Option<u32>,
        _result: &export_contract::message::ResultRef,
        _summary: export_contract::message::Summary,
    ) -> Result<(), export_pipeline::QueueError> {
        Ok(())
    }

    async fn retry(
        &self,
        _run: &RunRef,
        _phase: export_contract::run::Phase,
        _part: Option<export_contract::PartIndex>,
    ) -> Result<bool, export_pipeline::QueueError> {
        Ok(false)
    }

    async fn cancelled(&self, _run: &RunRef, _by: &str) -> Result<(), export_pipeline::QueueError> {
        Ok(())
    }

    async fn recorded(&self, _tenant: &TenantId, _run: &RunId) {}

    async fn check(&self) -> Result<(), export_pipeline::QueueError> {
        Ok(())
    }
}
