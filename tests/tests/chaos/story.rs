//! The story of one deployment: undisturbed first, then everything goes wrong while many runs are ordered, then it is calm and looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use export_blobs::BlobKey;
use export_client::{Client, NewRun};
use export_contract::run::{RunOptions, RunStatus};
use export_tests::workspace;
use futures::StreamExt as _;
use futures::stream;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client;
use crate::fault::{Fault, Round, schedule};
use crate::fleet::{CALM, Fleet, Shape};
use crate::history::{Followed, History, Order};
use crate::seed::Seeded;

/// Who orders. `demo` is the tenant of the sample findings.
pub(crate) const TENANTS: [&str; 3] = ["demo", "acme", "globex"];
/// What is ordered, in parts of a whole of 12. `chaos-raw` is `json:raw` in several parts.
const PROFILES: [(&str, usize); 6] = [
    ("chaos-raw", 4),
    ("json-policy", 2),
    ("trivy-db", 1),
    ("trivy-java-db", 1),
    ("mirror-full", 2),
    ("mirror-delta", 2),
];
/// Synthetic documents of a tenant; half of them come after the base of its deltas.
const DOCUMENTS: u64 = 80;
/// Longest that runs may take once nothing goes wrong any more, but over a server that is slow in itself.
pub(crate) const CALMED_WITHIN: Duration = Duration::from_mins(4);

/// How much is to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) seed: u64,
    pub(crate) runs: usize,
    pub(crate) faults: usize,
    /// Runs that are ordered and not ended, at most: what is ordered later meets what happens later.
    pub(crate) at_once: usize,
    /// Longest that runs may take once nothing goes wrong any more.
    pub(crate) calmed_within: Duration,
}

/// An order, and what its client saw of the run.
type Ended = (Order, Option<Followed>);
/// Most running runs at once by tenant, and how often that was looked at.
type Looked = (BTreeMap<String, usize>, usize);

/// A deployment with clients, evidence and the bundles that it should make.
pub(crate) struct Story {
    pub(crate) fleet: Fleet,
    pub(crate) clients: BTreeMap<String, Vec<Client>>,
    pub(crate) history: History,
    /// The base of each tenant's deltas.
    bases: BTreeMap<String, String>,
}

impl Story {
    /// Starts a deployment and makes each bundle once, undisturbed.
    pub(crate) async fn begin(shape: Shape) -> anyhow::Result<Self> {
        let fleet = Fleet::start(shape).await?;
        let history = History { cap: shape.cap, ..History::default() };
        let mut story = Self { fleet, clients: BTreeMap::new(), history, bases: BTreeMap::new() };
        for (number, tenant) in TENANTS.into_iter().enumerate() {
            story.furnish(tenant, u64::try_from(number)?).await.with_context(|| format!("tenant {tenant}"))?;
        }
        story.fleet.settle()?;
        Ok(story)
    }

    async fn furnish(&mut self, tenant: &str, number: u64) -> anyhow::Result<()> {
        let clients = self.fleet.clients(tenant)?;
        let profile = json!({
            "id": "chaos-raw", "name": "Many parts", "kind": "json:raw", "config": { "partitionRecords": 20 }
        });
        clients[0].create_profile(&profile).await.context("cannot make a profile")?;
        self.clients.insert(tenant.to_owned(), clients);
        self.fleet.generate(tenant, number, DOCUMENTS / 2)?;
        let samples = workspace().join("samples");
        self.fleet.import(tenant, &samples.join("sboms"))?;
        self.fleet.import(tenant, &samples.join("policy"))?;
        let base = self.reference(tenant, "mirror-full").await?;
        self.bases.insert(tenant.to_owned(), base);
        self.fleet.generate(tenant, number, DOCUMENTS)?;
        for (profile, _) in PROFILES {
            self.reference(tenant, profile).await.with_context(|| profile.to_owned())?;
        }
        Ok(())
    }

    /// Makes a bundle and remembers its digest, with that of its bytes.
    async fn reference(&mut self, tenant: &str, profile: &str) -> anyhow::Result<String> {
        let key = format!("reference-{}-{tenant}-{profile}", self.history.orders.len());
        let mut order = ordered(profile, key);
        let clients = &self.clients[tenant];
        client::order(clients, &self.wanted(tenant, profile), &mut order, Seeded::new(0)).await?;
        let id = order.runs.first().cloned().context("no run")?;
        let until = Instant::now() + CALMED_WITHIN;
        let followed = client::follow(clients, &id, Seeded::new(0), until).await;
        let run = client::ask(clients, |client| {
            let id = id.clone();
            async move { client.run(&id).await }
        });
        let run = run.await?;
        anyhow::ensure!(run.status == RunStatus::Succeeded, "{profile}: {:?} {:?}", run.error_code, run.error_message);
        let digest = run.bundle.as_ref().map(|bundle| bundle.digest.to_string()).context("no bundle")?;
        self.history.references.insert((tenant.to_owned(), profile.to_owned()), digest);
        self.history.orders.push(order);
        self.history.followed.push(followed);
        Ok(id)
    }

    fn wanted(&self, tenant: &str, profile: &str) -> NewRun {
        let base = self.bases.get(tenant).filter(|_| profile == "mirror-delta").cloned();
        let options = RunOptions { base_export_id: base, ..RunOptions::default() };
        NewRun { profile_id: profile.to_owned(), options, ..NewRun::default() }
    }

    /// Lets everything go wrong while runs are ordered and followed, and waits until all have ended. Gives what went wrong.
    pub(crate) async fn disturb(&mut self, scale: Scale) -> anyhow::Result<Vec<Round>> {
        let mut seed = Seeded::new(scale.seed);
        let rounds = schedule(&mut seed.fork(), &self.fleet.targets(), scale.faults);
        let looks = self.look();
        let orders = self.orders(&mut seed, scale.runs);
        let ended: Arc<Mutex<Vec<Ended>>> = Arc::default();
        // What nobody may wait for any longer is told by the checks.
        let (calm, calmed) = tokio::sync::watch::channel(None::<Instant>);
        let load = tokio::spawn({
            let ended = Arc::clone(&ended);
            async move {
                let tasks = stream::iter(orders).map(|(clients, wanted, mut order, mut seed)| {
                    let (ended, mut calmed) = (Arc::clone(&ended), calmed.clone());
                    async move {
                        let taken = client::order(&clients, &wanted, &mut order, seed.fork()).await;
                        if let Err(error) = taken {
                            eprintln!("order {}: {error:#}", order.key);
                        }
                        let mut followed = None;
                        if let Some(run) = order.runs.first() {
                            let far = Instant::now() + Duration::from_hours(4);
                            let given_up = async {
                                let until = calmed.wait_for(Option::is_some).await.ok().and_then(|until| *until);
                                tokio::time::sleep_until(until.unwrap_or(far)).await;
                            };
                            let following = client::follow(&clients, run, seed, far);
                            tokio::select! {
                                seen = following => followed = Some(seen),
                                () = given_up => followed = Some(Followed { run: run.clone(), ..Followed::default() }),
                            }
                        }
                        ended.lock().unwrap_or_else(PoisonError::into_inner).push((order, followed));
                    }
                });
                tasks.buffer_unordered(scale.at_once).for_each(|()| async {}).await;
            }
        });
        let began = Instant::now();
        for round in &rounds {
            let faults: Vec<String> = round.faults.iter().map(ToString::to_string).collect();
            eprintln!("{:>5} s, for {:?}: {}", began.elapsed().as_secs(), round.lasts, faults.join(", "));
            self.live_through(round).await?;
        }
        calm.send_replace(Some(Instant::now() + scale.calmed_within));
        load.await.context("the load panicked")?;
        for (order, followed) in ended.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.history.orders.push(order);
            self.history.followed.extend(followed);
        }
        looks.0.abort();
        let looked = looks.1.lock().unwrap_or_else(PoisonError::into_inner);
        (self.history.most_active, self.history.looks) = looked.clone();
        Ok(rounds)
    }

    async fn live_through(&mut self, round: &Round) -> anyhow::Result<()> {
        for fault in &round.faults {
            self.fleet.begin(fault).await.with_context(|| format!("{fault} did not happen"))?;
        }
        sleep(round.lasts).await;
        // Servers first: a role does not start without them, and here nobody starts it again.
        let (roles, others): (Vec<&Fault>, Vec<&Fault>) =
            round.faults.iter().partition(|fault| matches!(fault, Fault::Kill { .. }));
        for fault in others.into_iter().chain(roles) {
            self.fleet.end(fault).await.with_context(|| format!("{fault} was not mended"))?;
        }
        let fallen = self.fleet.fallen();
        anyhow::ensure!(fallen.is_empty(), "{fallen:?} ended by themselves during {:?}", round.faults);
        sleep(round.pause).await;
        Ok(())
    }

    fn orders(&self, seed: &mut Seeded, count: usize) -> Vec<(Vec<Client>, NewRun, Order, Seeded)> {
        let deck: Vec<&str> = PROFILES.iter().flat_map(|(name, parts)| std::iter::repeat_n(*name, *parts)).collect();
        (0..count)
            .map(|number| {
                let tenant = TENANTS[number % TENANTS.len()];
                let profile = deck[number / TENANTS.len() % deck.len()];
                let order = ordered(profile, format!("chaos-{number}"));
                (self.clients[tenant].clone(), self.wanted(tenant, profile), order, seed.fork())
            })
            .collect()
    }

    /// Looks again and again how many runs of each tenant run.
    fn look(&self) -> (JoinHandle<()>, Arc<Mutex<Looked>>) {
        let found: Arc<Mutex<Looked>> = Arc::default();
        let (clients, told) = (self.clients.clone(), Arc::clone(&found));
        let looking = tokio::spawn(async move {
            loop {
                for (tenant, clients) in &clients {
                    let query = [("status", "running".to_owned()), ("limit", "200".to_owned())];
                    for client in clients {
                        let Ok(Ok(page)) = timeout(Duration::from_secs(3), client.runs(&query)).await else { continue };
                        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                        let most = told.0.entry(tenant.clone()).or_default();
                        *most = page.runs.len().max(*most);
                        told.1 += 1;
                        break;
                    }
                }
                sleep(Duration::from_millis(400)).await;
            }
        });
        (looking, found)
    }

    /// Looks at everything, once it is calm.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        sleep(CALM).await;
        self.fleet.start_missing().await?;
        for tenant in TENANTS {
            let clients = &self.clients[tenant];
            for run in client::runs(clients).await? {
                // A listing leaves out where bundles are.
                let id = run.id.to_string();
                let run = client::ask(clients, |client| {
                    let id = id.clone();
                    async move { client.run(&id).await }
                });
                let run = run.await?;
                if run.status == RunStatus::Succeeded {
                    // Bytes that cannot be had are told by a check.
                    if let Ok(digest) = client::digest(clients, &run).await {
                        self.history.downloads.insert(id.clone(), digest);
                    }
                }
                if run.status.is_terminal() {
                    self.history.timelines.insert(id, client::timeline(clients, run.id.as_str()).await?);
                }
                self.history.runs.push(run);
            }
        }
        // The base of deltas was made of other evidence than the mirrors behind it.
        for (tenant, base) in &self.bases {
            let based = self.history.runs.iter().position(|run| run.id.as_str() == base);
            if let Some(digest) = self.history.downloads.get(base) {
                self.history.references.insert((tenant.clone(), "base".to_owned()), digest.clone());
            }
            if let Some(run) = based.and_then(|at| self.history.runs.get_mut(at)) {
                run.profile_id = "base".parse().context("no profile")?;
            }
        }
        // What takes longest to come back are connections that nobody uses any more.
        sleep(CALM).await;
        self.history.survivors = self.fleet.survivors()?;
        self.collect().await
    }

    /// Runs the collector and lists what it left.
    pub(crate) async fn collect(&mut self) -> anyhow::Result<()> {
        self.fleet.exportd(&["retention", "run"]).context("the collector failed")?;
        let blobs = self.fleet.staging().await?;
        let mut staged = Vec::new();
        for tenant in blobs.names(None).await? {
            let prefix: BlobKey = tenant.parse().map_err(|_| anyhow::anyhow!("no key"))?;
            staged.extend(blobs.list(&prefix).await?.into_iter().map(|key| key.to_string()));
        }
        self.history.staged = staged;
        Ok(())
    }
}

fn ordered(profile: &str, key: String) -> Order {
    Order { profile: profile.to_owned(), key, ..Order::default() }
}
