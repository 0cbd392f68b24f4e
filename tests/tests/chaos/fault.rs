//! What can go wrong, and a schedule of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use export_tests::Weather;

use crate::seed::Seeded;

/// A server that roles depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    Broker,
    Store,
    Staging,
}

impl Server {
    pub(crate) const ALL: [Self; 3] = [Self::Broker, Self::Store, Self::Staging];

    fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Store => "store",
            Self::Staging => "staging",
        }
    }
}

/// A disk that may be full, where a small file system can be mounted in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disk {
    /// Where databases grow.
    Scratch,
    /// Of the ledgers in SQLite, and of staging where that is a folder.
    Data,
    /// Of the first broker.
    Broker,
}

impl Disk {
    pub(crate) const ALL: [Self; 3] = [Self::Scratch, Self::Data, Self::Broker];

    fn name(self) -> &'static str {
        match self {
            Self::Scratch => "scratch disk",
            Self::Data => "disk of ledgers",
            Self::Broker => "disk of the broker",
        }
    }
}

/// Something that goes wrong, until it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of a process; mended by a new one.
    Kill { member: String },
    /// `SIGSTOP` of a process; mended by `SIGCONT`.
    Freeze { member: String },
    /// One process and one server, or all processes and a server, do not reach each other as they should.
    Way { member: Option<String>, server: Server, weather: Weather },
    /// `kill -9` of a server (one of the brokers); mended by a start on its data.
    KillServer { server: Server },
    /// `SIGSTOP` of a server.
    FreezeServer { server: Server },
    /// Every broker is killed and loses its store.
    Wipe,
    /// No room on a disk. Mended by room; a broker is started again then, as its operator has to.
    DiskFull { disk: Disk },
}

impl Fault {
    /// The kind, as reports name it.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Kill { .. } => "role killed".to_owned(),
            Self::Freeze { .. } => "role stopped and continued".to_owned(),
            Self::Way { member, server, weather } => {
                let who = if member.is_some() { "one role and the" } else { "the" };
                let what = match weather {
                    Weather::Clear => "well",
                    Weather::Refused => "cut off",
                    Weather::Stalled => "silent",
                    Weather::Slow(_) => "slow",
                    Weather::Cut => "cutting answers",
                    Weather::Flipped(_) => "flipping bits",
                    Weather::Unavailable => "answering 503",
                    Weather::Changed(..) => "changing words",
                };
                format!("{who} {} {what}", server.name())
            }
            Self::KillServer { server } => format!("{} killed", server.name()),
            Self::FreezeServer { server } => format!("{} stopped and continued", server.name()),
            Self::Wipe => "broker wiped".to_owned(),
            Self::DiskFull { disk } => format!("{} full", disk.name()),
        }
    }

    /// What it happens to: two faults of one target do not go together.
    fn target(&self) -> String {
        match self {
            Self::Kill { member } | Self::Freeze { member } | Self::Way { member: Some(member), .. } => member.clone(),
            Self::Way { member: None, server, .. } | Self::KillServer { server } | Self::FreezeServer { server } => {
                server.name().to_owned()
            }
            Self::Wipe => Server::Broker.name().to_owned(),
            Self::DiskFull { disk: Disk::Broker } => Server::Broker.name().to_owned(),
            Self::DiskFull { disk } => disk.name().to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind(), self.target())
    }
}

/// What may go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) members: Vec<String>,
    pub(crate) servers: Vec<Server>,
    /// The disks that can be filled.
    pub(crate) disks: Vec<Disk>,
}

/// Faults that go together, how long they last, and how long it is quiet then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) faults: Vec<Fault>,
    pub(crate) lasts: Duration,
    pub(crate) pause: Duration,
}

/// At least `count` faults, every kind of them before one comes a second time.
pub(crate) fn schedule(seed: &mut Seeded, targets: &Targets, count: usize) -> Vec<Round> {
    let mut rounds = Vec::new();
    let mut dealt = 0;
    let mut deck: Vec<Fault> = Vec::new();
    while dealt < count {
        let together = 1 + seed.below(3);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..together {
            if deck.is_empty() {
                deck = shuffled(seed, targets);
            }
            let free = deck.iter().rposition(|fault| faults.iter().all(|other| other.target() != fault.target()));
            if let Some(free) = free {
                faults.push(deck.remove(free));
            }
        }
        dealt += faults.len();
        let millis = |seed: &mut Seeded, from: u64, spread: usize| {
            Duration::from_millis(from + u64::try_from(seed.below(spread)).unwrap())
        };
        rounds.push(Round { faults, lasts: millis(seed, 1_000, 4_000), pause: millis(seed, 500, 2_500) });
    }
    rounds
}

/// One fault of each kind.
fn shuffled(seed: &mut Seeded, targets: &Targets) -> Vec<Fault> {
    let members = &targets.members;
    let mut deck = Vec::new();
    // Of what happens to processes there is more: there are more of them.
    for _ in 0..4 {
        deck.push(Fault::Kill { member: seed.pick(members).clone() });
    }
    for _ in 0..2 {
        deck.push(Fault::Freeze { member: seed.pick(members).clone() });
    }
    for server in targets.servers.iter().copied() {
        for weather in [Weather::Refused, Weather::Stalled] {
            deck.push(Fault::Way { member: Some(seed.pick(members).clone()), server, weather });
        }
        deck.push(Fault::KillServer { server });
        deck.push(Fault::FreezeServer { server });
        let pause = Duration::from_millis(50 + u64::try_from(seed.below(400)).unwrap());
        deck.push(Fault::Way { member: None, server, weather: Weather::Slow(pause) });
        deck.push(Fault::Way { member: None, server, weather: Weather::Cut });
    }
    if targets.servers.contains(&Server::Staging) {
        let flipped = Weather::Flipped(u64::try_from(seed.below(1 << 20)).unwrap());
        for weather in [flipped, Weather::Unavailable] {
            deck.push(Fault::Way { member: None, server: Server::Staging, weather });
        }
    }
    deck.push(Fault::Wipe);
    deck.extend(targets.disks.iter().map(|disk| Fault::DiskFull { disk: *disk }));
    seed.shuffle(&mut deck);
    deck
}

/// How many of each kind.
pub(crate) fn counted(rounds: &[Round]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for fault in rounds.iter().flat_map(|round| &round.faults) {
        *counts.entry(fault.kind()).or_default() += 1;
    }
    counts
}

#[test]
fn a_seed_repeats_its_schedule_and_another_one_makes_another() {
    let members: Vec<String> = ["plan-1", "plan-2", "sign-1"].map(str::to_owned).to_vec();
    let targets = Targets { members, servers: Server::ALL.to_vec(), disks: Disk::ALL.to_vec() };
    let made = |seed| schedule(&mut Seeded::new(seed), &targets, 60);
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
    let counts = counted(&made(7));
    assert!(counts.values().sum::<usize>() >= 60 && counts.len() >= 20, "{counts:#?}");
}
