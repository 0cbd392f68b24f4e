//! JSON Schema (2020-12) of the wire types, for whoever serves or reads it. Schemas are derived from the types, never written beside
//! them.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::{Digest, ProfileId, RunId, ScheduleId, TenantId, Timestamp, Version, WebhookId};

/// How schemas are made here: references lead to `definitions`, a JSON pointer such as `/$defs`.
#[must_use]
pub fn settings(definitions: &'static str) -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = Cow::Borrowed(definitions);
        settings.meta_schema = None;
        settings.transforms.push(Box::new(as_read));
    })
}

/// Says of numbers and sets what the parsers say: a number has the bounds of its type, and an entry may come twice in a set.
fn as_read(schema: &mut Schema) {
    transform_subschemas(&mut as_read, schema);
    schema.remove("uniqueItems");
    let bounds = match schema.get("format").and_then(Value::as_str) {
        Some("uint16") => (0, i64::from(u16::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => return,
    };
    schema.remove("format");
    for (name, bound) in [("minimum", bounds.0), ("maximum", bounds.1)] {
        if schema.get(name).is_none() {
            schema.insert(name.to_owned(), bound.into());
        }
    }
}

macro_rules! text_schema {
    ($($name:ident: $schema:tt;)+) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

text_schema! {
    TenantId: { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", "description": "A tenant." };
    ProfileId: { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", "description": "A profile of a tenant." };
    ScheduleId: { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", "description": "A schedule of a tenant." };
    WebhookId: { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", "description": "A webhook of a tenant." };
    RunId: { "type": "string", "pattern": "^[0-7][0-9a-hjkmnp-tv-z]{25}$", "description": "A run: a ULID in lower case." };
    Digest: { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "A SHA-256 digest." };
    Timestamp: { "type": "string", "format": "date-time", "description": "A point in time, RFC 3339." };
}

impl<const N: u32> JsonSchema for Version<N> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Version{N}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": N })
    }
}
