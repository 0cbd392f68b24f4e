//! What a deployment is made of.

use export_targets::registries::Program;

/// Which processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// `exportd all` with the broker that it starts itself.
    Together,
    /// Each role a process, adapt so many, on one broker.
    Apart {
        /// Processes of adapt.
        adapt: usize,
    },
}

/// Where runs and evidence are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// SQLite files.
    Sqlite,
    /// A FerretDB, which speaks MongoDB's protocol.
    Ferret,
}

/// Where artefacts and result records are staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staging {
    /// A folder that every process sees.
    Folder,
    /// A bucket of a SeaweedFS.
    S3,
}

/// What is around the processes and must not reach a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// Whatever the tests run in.
    Here,
    /// Another time zone and locale, files for the owner only, one processor.
    Elsewhere,
}

impl Surroundings {
    /// Puts a program there.
    pub(super) fn command(self, program: &std::path::Path) -> std::process::Command {
        if self == Self::Here {
            return std::process::Command::new(program);
        }
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg("umask 077; exec taskset -c 0 \"$0\" \"$@\"").arg(program);
        command.env("TZ", "Asia/Kathmandu").env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8");
        command
    }
}

/// What a deployment is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Its processes.
    pub roles: Roles,
    /// Its stores.
    pub store: Store,
    /// Its staging.
    pub staging: Staging,
    /// Threads that compress; 0: one per core.
    pub adapt_threads: usize,
    /// What is around it.
    pub surroundings: Surroundings,
    /// Tenants whose bundles anybody may pull from the registry.
    pub anonymous: &'static [&'static str],
    /// Whether every connection is encrypted: to the gateway, the broker (which asks for certificates of clients), the stores and staging.
    pub encrypted: bool,
    /// The registry that bundles are pushed to, under `exports/`, by profiles with `oci` in their distribution.
    pub pushes_to: Option<Program>,
}

impl Setup {
    /// `exportd all` on SQLite and a folder.
    #[must_use]
    pub fn together() -> Self {
        Self {
            roles: Roles::Together,
            store: Store::Sqlite,
            staging: Staging::Folder,
            adapt_threads: 0,
            surroundings: Surroundings::Here,
            anonymous: &[],
            encrypted: false,
            pushes_to: None,
        }
    }

    /// Every role a process, adapt so many, on a folder.
    #[must_use]
    pub fn apart(store: Store, adapt: usize) -> Self {
        Self { roles: Roles::Apart { adapt }, store, ..Self::together() }
    }

    /// As [`Self::served`], and every connection is encrypted.
    #[must_use]
    pub fn encrypted(adapt: usize) -> Self {
        Self { encrypted: true, ..Self::served(adapt) }
    }

    /// Every role a process, adapt so many, with nothing on the disk that they share but keys and settings: MongoDB's protocol and S3.
    #[must_use]
    pub fn served(adapt: usize) -> Self {
        Self { staging: Staging::S3, ..Self::apart(Store::Ferret, adapt) }
    }
}
