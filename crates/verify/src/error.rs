//! What can be wrong with a bundle, and which exit code that is.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use export_canon::CanonError;
use export_canon::tar::{Refusal, TarError};
use export_contract::{RecordKind, Timestamp};
use export_sealing::OpenError;
use export_signing::SignatureInvalid;
use export_signing::bundle::BundleError;

use crate::freshness::spoken;

/// Why a bundle does not pass. Texts from the bundle are shortened and escaped before they are printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is nothing at the path.
    #[error("there is no `{}`", .0.display())]
    NotFound(PathBuf),
    /// The operating system does not give the bytes.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The operating system does not take a copy of the bytes.
    #[error("cannot write `{path}`")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A signature does not belong to these bytes.
    #[error("the signature of {what} in `{file}` is not valid")]
    SignatureInvalid {
        /// What was signed.
        what: &'static str,
        /// The file with the signature.
        file: &'static str,
        /// Why; absent where the text is no signature at all.
        #[source]
        cause: Option<SignatureInvalid>,
    },
    /// There is no signature.
    #[error("{what} has no signature beside it (looked for `{file}`)")]
    SignatureMissing {
        /// What should be signed.
        what: &'static str,
        /// The file that would have it.
        file: &'static str,
    },
    /// The files of a stream come in an order that leaves nothing to judge its tar by.
    #[error(
        "`bundle.tar` comes before its signature in the stream, so nothing can be proven of it in one pass: write the small files \
         first (`tar -c cosign.pub export.json export.json.sig export.json.sigstore.json provenance.json provenance.sigstore.json \
         bundle.tar`), or keep the stream in a file and name that"
    )]
    Order,
    /// No key was given.
    #[error("no public key was given, so no signature can be checked")]
    NoKey,
    /// Signed, but by none of the keys given.
    #[error("{what} is signed by key {signer}, not by {}", expected.join(" or "))]
    WrongSigner {
        /// What was signed.
        what: &'static str,
        /// Id of the key that the signature names, or that verifies it.
        signer: String,
        /// Ids of the keys given.
        expected: Vec<String>,
    },
    /// Bytes are not those that were signed or listed.
    #[error("`{what}` is {found}, expected is {expected}")]
    DigestMismatch {
        /// Which file.
        what: String,
        /// Digest or length that was promised.
        expected: String,
        /// Digest or length there is.
        found: String,
    },
    /// A file holds another number of something than `export.json` says.
    #[error("`{what}` has {found} {counted}, export.json says {expected}")]
    CountMismatch {
        /// Which file.
        what: String,
        /// What was counted.
        counted: &'static str,
        /// What the manifest says.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Not a bundle of ours, or one made to harm.
    #[error("`{what}` is malformed or hostile")]
    Malformed {
        /// Which file.
        what: String,
        /// What is wrong with it.
        #[source]
        problem: Problem,
    },
    /// The evidence is older than the policy takes.
    #[error("the evidence is as of {as_of}, {} ago; at most {} is accepted", spoken(*age), spoken(*max_age))]
    TooOld {
        /// The manifest's `asOf`.
        as_of: Timestamp,
        /// Its age in seconds.
        age: i64,
        /// The most seconds accepted.
        max_age: i64,
    },
    /// A refresh confirmed the evidence, but longer ago than the policy takes.
    #[error(
        "the evidence was last confirmed unchanged at {checked_at}, {} ago; at most {} is accepted",
        spoken(*age),
        spoken(*max_age)
    )]
    ConfirmedTooLongAgo {
        /// When nothing was newer.
        checked_at: Timestamp,
        /// Seconds since then.
        age: i64,
        /// The most seconds accepted.
        max_age: i64,
    },
    /// The profile's own time limit is over.
    #[error("the evidence was fresh until {0} by its profile")]
    NotFresh(Timestamp),
    /// A maximum age was asked for and cannot be judged.
    #[error("the age of the evidence cannot be judged: {0}")]
    AgeUnknown(&'static str),
    /// Encrypted, and to nobody whose key was given.
    #[error("`{0}` is encrypted to other recipients than the identities given")]
    NotForUs(String),
    /// Encrypted, and the keeper of its key does not unwrap it.
    #[error("the key of the bundle cannot be unwrapped")]
    Keeper(#[source] export_sealing::WrapError),
    /// Encrypted, and no identity was given, where its plain bytes are needed.
    #[error("`{0}` is encrypted; name the file with your age identity: --identity FILE")]
    Closed(String),
    /// The tar ends before its end.
    #[error("`{0}` is cut off")]
    CutOff(String),
    /// A file that belongs to the bundle is not there.
    #[error("`{0}` is missing")]
    FileMissing(String),
    /// The exporter itself says that a source is not whole.
    #[error("source `{name}` ({kind}) could not be read to its end when the bundle was made")]
    SourceFailed {
        /// Publisher or pack.
        name: String,
        /// Kind of its records.
        kind: RecordKind,
    },
}

/// What is wrong with a malformed file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not a regular file.
    #[error("it is not a regular file")]
    NotAFile,
    /// Longer than is read.
    #[error("it has {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// How many it has.
        bytes: u64,
        /// How many are read.
        limit: u64,
    },
    /// Not JSON, or not the members that belong there.
    #[error("it is not the JSON document that belongs there")]
    Json(#[source] Quoted),
    /// No canonical form exists.
    #[error("it has no RFC 8785 form")]
    Canonical(#[source] Quoted),
    /// Not a Sigstore bundle as they are read here.
    #[error("it is not a Sigstore bundle of a key")]
    Bundle(#[source] Quoted),
    /// Another schema or version than this build reads.
    #[error(
        "its schema is `{schema}` version `{version}`; this build reads `{}` version 1.x",
        export_contract::manifest::SCHEMA
    )]
    Version {
        /// The schema named.
        schema: String,
        /// The version named.
        version: String,
    },
    /// The archive is refused.
    #[error("the archive is refused")]
    Archive(#[source] TarError),
    /// Compressed data is damaged, or more than was promised.
    #[error("its compressed data is damaged or more than promised")]
    Compressed(#[source] io::Error),
    /// The bytes are those that were signed, and yet they do not decrypt.
    #[error("it does not decrypt")]
    Encrypted(#[source] OpenError),
    /// A rule of the format is broken.
    #[error("{0}")]
    Rule(&'static str),
}

/// What a parser says of a text of the bundle. Parsers quote what they meet, so their words are shortened and escaped, and their own
/// causes are told in the same breath instead of being handed on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Quoted(String);

impl Quoted {
    fn new(cause: &dyn Error) -> Self {
        let causes = std::iter::successors(Some(cause), |cause| (**cause).source());
        Self(causes.map(|cause| shown(&cause.to_string())).collect::<Vec<_>>().join(": "))
    }
}

impl VerifyError {
    /// The exit code of this fault (architecture, section 8): 10 signature invalid, 11 missing, 12 wrong signer, 13 digest or count
    /// mismatch, 14 malformed or hostile (and whatever is not read to its end because it is already more than was promised), 15 too
    /// old, 17 incomplete; 2 where no key or identity was given or a stream comes in the wrong order, 3 where no identity given can decrypt, 4 where
    /// there is nothing, 1 where the machine does not give or take the bytes.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read { .. } | Self::Write { .. } => 1,
            Self::Keeper(export_sealing::WrapError::Unavailable(_)) => 6,
            Self::NotForUs(_) | Self::Keeper(_) => 3,
            Self::NoKey | Self::Order | Self::Closed(_) => 2,
            Self::NotFound(_) => 4,
            Self::SignatureInvalid { .. } => 10,
            Self::SignatureMissing { .. } => 11,
            Self::WrongSigner { .. } => 12,
            Self::DigestMismatch { .. } | Self::CountMismatch { .. } => 13,
            Self::Malformed { .. } => 14,
            Self::TooOld { .. } | Self::ConfirmedTooLongAgo { .. } | Self::NotFresh(_) | Self::AgeUnknown(_) => 15,
            Self::CutOff(_) | Self::FileMissing(_) | Self::SourceFailed { .. } => 17,
        }
    }

    pub(crate) fn malformed(what: &str, problem: Problem) -> Self {
        Self::Malformed { what: shown(what), problem }
    }

    pub(crate) fn not_json(what: &str, cause: &serde_json::Error) -> Self {
        Self::malformed(what, Problem::Json(Quoted::new(cause)))
    }

    pub(crate) fn not_canonical(what: &str, cause: &CanonError) -> Self {
        Self::malformed(what, Problem::Canonical(Quoted::new(cause)))
    }

    pub(crate) fn not_a_bundle(what: &str, cause: &BundleError) -> Self {
        Self::malformed(what, Problem::Bundle(Quoted::new(cause)))
    }

    pub(crate) fn rule(what: &str, rule: &'static str) -> Self {
        Self::malformed(what, Problem::Rule(rule))
    }

    /// What it means that bytes cannot be read: a fault of the container or the archive on the way, or one of the machine.
    pub(crate) fn of_read(path: &Path, cause: io::Error) -> Self {
        match cause.downcast::<Within>() {
            Ok(Within(fault)) => fault,
            Err(cause) => match cause.downcast::<TarError>() {
                Ok(refused) => Self::archive(&path.to_string_lossy(), refused),
                Err(cause) => Self::Read { path: path.to_owned(), cause },
            },
        }
    }

    /// This fault for somebody who only knows [`io::Error`]; [`Self::of_read`] takes it out again.
    pub(crate) fn inside(self) -> io::Error {
        io::Error::other(Within(self))
    }

    /// The archive's own faults: an end too early is not malice.
    pub(crate) fn archive(what: &str, cause: TarError) -> Self {
        match cause {
            TarError::Refused { refusal: Refusal::Truncated, .. } => Self::CutOff(shown(what)),
            TarError::Read { cause, .. } => Self::of_read(what.as_ref(), cause),
            refused => Self::malformed(what, Problem::Archive(refused)),
        }
    }
}

/// A fault found by a reader of ours below a reader that is not.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Within(VerifyError);

/// A text of the bundle as it may be printed: at most 200 characters, controls escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
