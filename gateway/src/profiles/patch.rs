//! What a request says of a configuration: a merge patch, as JSON Schema.

use std::borrow::Cow;

use export_contract::encryption::Encryption;
use export_contract::profile::{Compression, ProfileConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A change of a configuration (RFC 7396): members that are left out stay, `null` brings a member's default back.
pub(crate) struct ConfigPatch;

impl JsonSchema for ConfigPatch {
    fn schema_name() -> Cow<'static, str> {
        "ProfileConfigPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let nested = [
            ("compression", opened(Compression::json_schema(generator))),
            ("encryption", opened(Encryption::json_schema(generator))),
        ];
        let mut patch = opened(ProfileConfig::json_schema(generator));
        if let Some(members) = patch.get_mut("properties").and_then(Value::as_object_mut) {
            for (name, schema) in nested {
                members.insert(name.to_owned(), json!({ "anyOf": [schema, { "type": "null" }] }));
            }
        }
        let text = "A merge patch (RFC 7396) onto the defaults of the kind, or onto the newest revision: `null` brings a member's \
                    default back. The whole is checked by the schema under `/api/export/schemas/profile-config/{kind}`.";
        let mut schema = json_schema!({ "description": text });
        if let Some(members) = patch.as_object() {
            for name in ["type", "properties", "additionalProperties"] {
                if let Some(value) = members.get(name) {
                    schema.insert(name.to_owned(), value.clone());
                }
            }
        }
        schema
    }
}

/// The same with every member left out or null.
fn opened(schema: Schema) -> Value {
    let mut value = schema.to_value();
    if let Some(object) = value.as_object_mut() {
        object.remove("required");
        if let Some(members) = object.get_mut("properties").and_then(Value::as_object_mut) {
            for member in members.values_mut() {
                let takes_null = member.pointer("/type/1") == Some(&json!("null")) || member.get("anyOf").is_some();
                if let Some(member) = member.as_object_mut() {
                    member.remove("default");
                }
                if !takes_null {
                    *member = json!({ "anyOf": [member.take(), { "type": "null" }] });
                }
            }
        }
    }
    value
}
