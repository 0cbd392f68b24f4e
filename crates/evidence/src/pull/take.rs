//! From a peer's document to what the spool keeps of it.

use bytes::Bytes;
use export_canon::zst::{FrameEncoder, ZstError};
use export_contract::{RecordKind, Timestamp};
use export_mongo::bson::raw::RawBsonRef;
use export_mongo::bson::{RawDocument, rawdoc};

use super::PeerCollection;
use super::fields::{self, at};
use super::text::{self, NoText};
use crate::aoc;
use crate::import::convert::Converter;
use crate::import::{ImportOptions, Position, Refusal, RefusalCode};

/// Level of the spool's frames: it is written once and read once.
const LEVEL: i32 = 1;

/// A document in the spool.
#[derive(Debug)]
pub(super) struct Taken {
    /// The `_id`, as BSON.
    pub(super) id: Vec<u8>,
    /// The `_id`, as a reference names it.
    pub(super) name: String,
    pub(super) what: Result<Staged, Refusal>,
}

/// A document that will be a record.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) supersedes: Option<String>,
    pub(super) kind: RecordKind,
    pub(super) source: String,
    pub(super) document_id: String,
    pub(super) upstream_id: Option<String>,
    pub(super) observed_at: Timestamp,
    /// Digest of the canonical text.
    pub(super) content: [u8; 32],
    /// The canonical text as a zstd frame.
    pub(super) frame: Vec<u8>,
}

/// Takes documents of one collection.
pub(super) struct Taker<'a> {
    converter: Converter,
    encoder: FrameEncoder,
    options: &'a ImportOptions,
    place: String,
    collection: &'a PeerCollection,
}

impl<'a> Taker<'a> {
    pub(super) fn new(
        database: &str,
        collection: &'a PeerCollection,
        options: &'a ImportOptions,
    ) -> Result<Self, ZstError> {
        let converter = Converter::new(&options.limits, options.observed_at, options.source_name.clone());
        let place = format!("{database}.{}", collection.name);
        Ok(Self { converter, encoder: FrameEncoder::new(LEVEL)?, options, place, collection })
    }

    /// `id` is the document's `_id`.
    pub(super) fn take(&mut self, document: &RawDocument, id: RawBsonRef<'_>) -> Taken {
        let name = fields::name(id);
        let source = match &self.options.source_name {
            Some(source) => source.clone(),
            None => {
                fields::source(document).filter(|source| is_usable(source)).unwrap_or(&self.collection.name).to_owned()
            }
        };
        let what = self.stage(document, &source).map_err(|NoText { code, reason }| {
            let position =
                Position { path: self.place.clone(), entry: Some(name.clone()), line: None, upstream_path: None };
            Refusal { position, code, reason, source }
        });
        Taken { id: rawdoc! { "_id": id.to_raw_bson() }.into_bytes(), name, what }
    }

    /// A document that is none.
    pub(super) fn refused(&self, name: String, NoText { code, reason }: NoText) -> Taken {
        let source = self.options.source_name.as_ref().unwrap_or(&self.collection.name).clone();
        let position =
            Position { path: self.place.clone(), entry: Some(name.clone()), line: None, upstream_path: None };
        let what = Err(Refusal { position, code, reason, source });
        Taken { id: rawdoc! { "_id": name.as_str() }.into_bytes(), name, what }
    }

    fn stage(&mut self, document: &RawDocument, source: &str) -> Result<Staged, NoText> {
        guard(document)?;
        let text = self.text(document)?;
        let upstream_id = fields::upstream_id(document).map(str::to_owned);
        let converted = self.converter.pulled(text, upstream_id.as_deref(), source.to_owned(), self.collection.kind);
        let record = converted.map_err(|(code, reason)| NoText { code, reason })?;
        let mut frame = Vec::new();
        let encoded = self.encoder.encode(&record.raw, &mut frame);
        encoded.map_err(|cause| NoText { code: RefusalCode::TooLarge, reason: cause.to_string() })?;
        frame.shrink_to_fit();
        let observed_at = fields::observed_at(document).unwrap_or(self.options.observed_at);
        Ok(Staged {
            supersedes: fields::supersedes(document),
            kind: record.kind,
            source: record.key.source,
            document_id: record.key.document_id,
            upstream_id,
            observed_at: observed_at.min(self.options.observed_at),
            content: *export_canon::digesting::sha256(&record.raw).as_bytes(),
            frame,
        })
    }

    /// The upstream document as text, not yet canonical. Peers that keep it as a string have kept its literals too.
    fn text(&self, document: &RawDocument) -> Result<Bytes, NoText> {
        let unknown = |reason: &str| NoText { code: RefusalCode::UnknownFormat, reason: reason.to_owned() };
        match at(document, &fields::RAW) {
            Some(RawBsonRef::Document(raw)) => {
                let mut out = Vec::new();
                text::write(raw, self.options.limits.document_bytes, &mut out)?;
                Ok(Bytes::from(out))
            }
            Some(RawBsonRef::String(raw)) => Ok(Bytes::copy_from_slice(raw.as_bytes())),
            Some(RawBsonRef::Binary(_)) => {
                let reason = "content.raw is binary; a document or a text of JSON is expected";
                Err(NoText { code: RefusalCode::UnsupportedValue, reason: reason.to_owned() })
            }
            Some(_) => Err(unknown("content.raw is neither a document nor a text")),
            None => Err(unknown("it has no content.raw")),
        }
    }
}

/// The AOC guard (design D5): no member of a record that concludes instead of observing.
fn guard(document: &RawDocument) -> Result<(), NoText> {
    let names: Result<Vec<&str>, _> = document.iter().map(|element| element.map(|(name, _)| name)).collect();
    let names =
        names.map_err(|cause| NoText { code: RefusalCode::Malformed, reason: format!("malformed BSON: {cause}") })?;
    aoc::check_members(names)
        .map_err(|violation| NoText { code: RefusalCode::AocViolation, reason: violation.to_string() })
}

fn is_usable(source: &str) -> bool {
    const MAX_SOURCE_BYTES: usize = 256;
    source.len() <= MAX_SOURCE_BYTES && !source.chars().any(char::is_control)
}
