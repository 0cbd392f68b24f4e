//! The OpenAPI 3.1 document, made of the table and the types.

use std::collections::{BTreeMap, BTreeSet};

use export_authority::Scope;
use export_contract::{ErrorCode, schema};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::OPERATIONS;
use super::operation::{Access, Operation, Place, schema_of};
use crate::problem::{self, Document as Problem};

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";
/// Name of the scheme of access tokens.
const TOKEN: &str = "accessToken";

/// How callers prove who they are.
fn security_schemes() -> Value {
    json!({
        TOKEN: {
            "type": "http",
            "scheme": "dpop",
            "description": "An access token that is bound to a key (RFC 9449): `Authorization: DPoP TOKEN` and the header `DPoP` with a proof \
                            for this request. `POST /authority/token` gives one where the gateway is its own authority.",
        },
        "dpopProof": { "type": "apiKey", "in": "header", "name": "DPoP", "description": "The proof (RFC 9449 section 4)." },
        "client": { "type": "http", "scheme": "basic", "description": "Client id and secret, for clients of registries." },
    })
}

fn security(access: Access) -> Value {
    let token = |scopes: &[Scope]| {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        json!({ TOKEN: scopes, "dpopProof": [] })
    };
    match access {
        Access::Open | Access::Link => json!([]),
        Access::Token(scopes) => json!([token(scopes)]),
        Access::Puller => json!([{ "client": [] }, token(&[Scope::Download]), {}]),
    }
}

/// The document. The same for every deployment of a build.
#[must_use]
pub fn document() -> Value {
    let mut requests = schema::settings(SCHEMAS).for_deserialize().into_generator();
    let mut answers = schema::settings(SCHEMAS).for_serialize().into_generator();
    // So that they stand in the document under their names.
    schema_of::<Problem<'_>>(&mut answers);
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS.iter() {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(operation.method.to_lowercase(), described(operation, &mut requests, &mut answers));
        }
    }
    let schemas = merged(answers.take_definitions(true), requests.take_definitions(true), &mut paths);
    let schemas = reachable(&paths, schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Export Center",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Vulnerability evidence as reproducible, signed bundles",
            "description": "Every `GET` but that of events answers `HEAD`, every path answers `OPTIONS`. Query parameters that are \
                            not listed are refused. The registry under `/v2/` is that of the OCI distribution specification, only read.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    })
}

fn described(operation: &Operation, requests: &mut SchemaGenerator, answers: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = operation
        .path_names()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    parameters.extend(operation.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": parameter.place.as_str(),
            "required": parameter.required,
            "description": parameter.description,
            "schema": parameter.schema,
        })
    }));
    debug_assert!(operation.parameters.iter().all(|parameter| parameter.place != Place::Path), "made of the path");
    let mut responses = problems(operation);
    for answer in &operation.answers {
        let mut response = json!({ "description": answer.description });
        let contents = answer.contents.iter().map(|(media, schema)| {
            let schema = schema.map_or_else(|| json!({}), |schema| schema(answers).to_value());
            ((*media).to_owned(), if schema == json!({}) { json!({}) } else { json!({ "schema": schema }) })
        });
        let contents: Map<String, Value> = contents.collect();
        let headers = answer
            .headers
            .iter()
            .map(|(name, text)| ((*name).to_owned(), json!({ "description": text, "schema": { "type": "string" } })));
        let headers: Map<String, Value> = headers.collect();
        if let Some(response) = response.as_object_mut() {
            if !contents.is_empty() {
                response.insert("content".to_owned(), contents.into());
            }
            if !headers.is_empty() {
                response.insert("headers".to_owned(), headers.into());
            }
        }
        responses.insert(answer.status.to_string(), response);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(operation.path)],
        "security": security(operation.access),
        "parameters": parameters,
        "responses": responses,
    });
    if let (Some(body), Some(members)) = (&operation.body, described.as_object_mut()) {
        let schema = (body.schema)(requests).to_value();
        let content = json!({ body.media: { "schema": schema, "example": body.example } });
        members.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    described
}

fn tag(path: &str) -> &str {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("api"), Some("export"), Some(name)) => name,
        (Some("openapi.json"), ..) => "schemas",
        (Some("v2"), ..) => "registry",
        (Some(name), ..) => name,
        (None, ..) => "",
    }
}

/// The refusals of an operation by status; each names the codes that it may have.
fn problems(operation: &Operation) -> Map<String, Value> {
    let mut codes: BTreeSet<ErrorCode> = operation.codes.iter().copied().collect();
    if !operation.own_refusals && operation.media().next().is_some() {
        codes.insert(ErrorCode::NotAcceptable);
    }
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in codes {
        by_status.entry(problem::status(code).as_u16()).or_default().push(code.as_str());
    }
    let responses = by_status.into_iter().map(|(status, codes)| {
        let mut headers = Map::new();
        let mut header = |name: &str, text: &str| {
            headers.insert(name.to_owned(), json!({ "description": text, "schema": { "type": "string" } }));
        };
        match status {
            401 => header("WWW-Authenticate", "How to prove who calls."),
            409 if codes.contains(&ErrorCode::IdempotencyInFlight.as_str()) => {
                header("Retry-After", "Seconds, where another request with the key is at work.");
            }
            429 | 503 => header("Retry-After", "Seconds to wait."),
            _ => {}
        }
        let schema = json!({
            "allOf": [
                { "$ref": format!("#{SCHEMAS}/Problem") },
                { "properties": { "status": { "const": status }, "code": { "enum": codes } } },
            ],
        });
        let mut response = json!({
            "description": format!("{}.", codes.join(", ")),
            "content": { "application/problem+json": { "schema": schema } },
        });
        if let (false, Some(response)) = (headers.is_empty(), response.as_object_mut()) {
            response.insert("headers".to_owned(), headers.into());
        }
        (status.to_string(), response)
    });
    responses.collect()
}

/// The schemas of answers and requests under one roof. A type that is read with more than it is written with, such as members that
/// may be left out, has two; the one that is read then has `Input` behind its name.
fn merged(
    answers: Map<String, Value>,
    mut requests: Map<String, Value>,
    paths: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut differ: BTreeSet<String> = BTreeSet::new();
    loop {
        let renamed = |name: &str| differ.contains(name);
        let more: Vec<String> = requests
            .iter()
            .filter(|(name, schema)| {
                !renamed(name) && answers.get(*name).is_some_and(|known| known != *schema || refers(schema, &differ))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        differ.extend(more);
    }
    for schema in requests.values_mut() {
        rename(schema, &differ);
    }
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody") {
            rename(body, &differ);
        }
    }
    let mut all = answers;
    all.extend(
        requests
            .into_iter()
            .map(|(name, schema)| (if differ.contains(&name) { format!("{name}Input") } else { name }, schema)),
    );
    all
}

/// The schemas that something in `paths` leads to.
fn reachable(paths: &Map<String, Value>, mut schemas: Map<String, Value>) -> Map<String, Value> {
    let mut known = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    paths.values().for_each(|item| targets(item, &mut open));
    while let Some(name) = open.pop() {
        if known.insert(name.clone())
            && let Some(schema) = schemas.get(&name)
        {
            targets(schema, &mut open);
        }
    }
    schemas.retain(|name, _| known.contains(name));
    schemas
}

/// Names of the schemas that a value refers to.
fn targets(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().and_then(|text| text.rsplit('/').next()) {
                    Some(target) if name == "$ref" => found.push(target.to_owned()),
                    _ => targets(value, found),
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| targets(entry, found)),
        _ => {}
    }
}

fn refers(schema: &Value, names: &BTreeSet<String>) -> bool {
    let mut found = Vec::new();
    targets(schema, &mut found);
    found.iter().any(|name| names.contains(name))
}

fn rename(schema: &mut Value, names: &BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "$ref" => {
                        if text.rsplit('/').next().is_some_and(|name| names.contains(name)) {
                            text.push_str("Input");
                        }
                    }
                    other => rename(other, names),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| rename(entry, names)),
        _ => {}
    }
}
