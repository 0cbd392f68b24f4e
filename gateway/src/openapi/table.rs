//! The table of operations. Whoever adds a route adds its row here; without it the route is not reached.

mod runs;
mod settings;
mod tenancy;

use export_authority::Scope;
use export_contract::ErrorCode;
use serde_json::{Value, json};

use super::operation::{Access, Answer, Operation, Parameter, query, schema_of};
use super::wire::{
    KeySet, Live, PullToken, Ready, RegistryRefusal, TokenAnswer, TokenForm, TokenRefusal, VexRepository,
};
use crate::state::KeyList;

const READ: &[Scope] = &[Scope::Read];
const RUN: &[Scope] = &[Scope::Run];
const MANAGE: &[Scope] = &[Scope::ProfileManage];
const DOWNLOAD: &[Scope] = &[Scope::Download];
const READ_AND_MANAGE: &[Scope] = &[Scope::Read, Scope::ProfileManage];
const RUN_AND_MANAGE: &[Scope] = &[Scope::Run, Scope::ProfileManage];

/// Every operation, in the order of the document.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = settings::profiles();
    all.extend(runs::runs());
    all.extend(runs::dead_letters());
    all.extend(runs::files());
    all.extend(settings::schedules());
    all.extend(settings::webhooks());
    all.extend(tenancy::tenancy());
    all.extend(console());
    all.extend(others());
    all
}

/// Entries of a page.
fn limit() -> Parameter {
    query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 200 }), "Entries of the page; 50 unless said.")
}

/// Where a page begins.
fn cursor(schema: Value) -> Parameter {
    query("cursor", schema, "`nextCursor` of the page before.")
}

fn link_header(answer: Answer) -> Answer {
    answer.header("Link", "`rel=\"next\"`: the next page, where there is one.")
}

fn tagged(answer: Answer) -> Answer {
    answer.header("ETag", "Changes with the document.")
}

fn unchanged() -> Answer {
    Answer::empty(304, "It is what `If-None-Match` names.")
}

fn console() -> Vec<Operation> {
    let files = &["text/javascript", "text/css", "image/svg+xml", "text/html"];
    vec![
        Operation::get("/", "showConsole", "The console: a page for people")
            .answers(tagged(Answer::bytes(200, &["text/html"], "The page.")))
            .answers(unchanged())
            .refuses(&[ErrorCode::NotFound]),
        Operation::get("/console/{name}", "showConsoleFile", "What the page is made of")
            .answers(tagged(Answer::bytes(200, files, "The file.")))
            .answers(unchanged())
            .refuses(&[ErrorCode::NotFound]),
    ]
}

fn others() -> Vec<Operation> {
    let of_authority = |status, description| Answer::json::<TokenRefusal>(status, description);
    let of_registry = |status, description| Answer::json::<RegistryRefusal>(status, description);
    vec![
        Operation::get("/openapi.json", "showApi", "This document")
            .answers(tagged(Answer::bytes(200, &["application/json"], "OpenAPI 3.1.")))
            .answers(unchanged()),
        Operation::get(
            "/api/export/schemas/profile-config/{kind}",
            "showConfigSchema",
            "The JSON Schema that the configuration of a profile is checked by",
        )
        .answers(tagged(Answer::bytes(
            200,
            &["application/schema+json"],
            "JSON Schema 2020-12; `x-rules` lists the rules between members.",
        )))
        .answers(unchanged())
        .refuses(&[ErrorCode::NotFound]),
        Operation::get("/api/export/keys", "listKeys", "Public keys that verify bundles, current and former")
            .gives::<KeyList>("The keys."),
        Operation::get(
            "/vex/{tenant}/{profile}/.well-known/vex-repository.json",
            "describeVexRepository",
            "The OpenVEX statements of a profile's newest bundle as a VEX repository",
        )
        .access(Access::Puller)
        .gives::<VexRepository>("The repository.")
        .refuses(&[
            ErrorCode::NotFound,
            ErrorCode::Unauthenticated,
            ErrorCode::ScopeMissing,
            ErrorCode::Quota,
            ErrorCode::Unavailable,
        ]),
        Operation::get("/vex/{tenant}/{profile}/repository.tar.zst", "getVexRepository", "Its archive")
            .access(Access::Puller)
            .answers(tagged(Answer::bytes(200, &["application/zstd"], "The archive.")))
            .answers(unchanged())
            .refuses(&[
                ErrorCode::NotFound,
                ErrorCode::NotReady,
                ErrorCode::Unauthenticated,
                ErrorCode::ScopeMissing,
                ErrorCode::Quota,
                ErrorCode::Unavailable,
            ]),
        Operation::post("/authority/token", "issueToken", "A token for client credentials (RFC 6749 section 4.4)")
            .takes_form::<TokenForm>(
                json!({ "grant_type": "client_credentials", "client_id": "local", "client_secret": "secret" }),
            )
            .gives::<TokenAnswer>("The token.")
            .answers(of_authority(400, "The request is not one for a token, or names a scope that the client lacks."))
            .answers(of_authority(401, "The client is unknown, or that is not its secret."))
            .answers(Answer::bytes(404, &["application/problem+json"], "This gateway issues no tokens."))
            .answers(Answer::bytes(406, &["application/problem+json"], "The request accepts no JSON."))
            .answers(Answer::bytes(408, &["application/problem+json"], "The body did not come in time."))
            .answers(Answer::bytes(413, &["application/problem+json"], "The body is too large."))
            .answers(Answer::bytes(415, &["application/problem+json"], "The body is compressed."))
            .answers(Answer::bytes(503, &["application/json", "application/problem+json"], "Not at the moment."))
            .answers(Answer::bytes(
                429,
                &["application/json", "application/problem+json"],
                "Too many wrong secrets, or requests; `Retry-After` says when.",
            ))
            .answers(of_authority(500, "The token cannot be signed."))
            .with_own_refusals(),
        Operation::get("/authority/jwks.json", "listTokenKeys", "The public keys of the authority (RFC 7517)")
            .gives::<KeySet>("The keys.")
            .refuses(&[ErrorCode::NotFound]),
        Operation::get("/v2/token", "issuePullToken", "A token for pulling from the registry under `/v2/`")
            .access(Access::Puller)
            .with(query(
                "scope",
                json!({ "type": "array", "items": { "type": "string" } }),
                "`repository:TENANT/NAME:pull`, may come several times.",
            ))
            .with(query("service", json!({ "type": "string" }), "Not looked at."))
            .gives::<PullToken>("The token.")
            .answers(of_registry(401, "The client is unknown, or that is not its secret."))
            .answers(of_registry(403, "The client may not download."))
            .answers(of_registry(404, "This gateway issues no tokens."))
            .answers(Answer::bytes(
                429,
                &["application/json", "application/problem+json"],
                "Too many wrong secrets, or requests; `Retry-After` says when.",
            ))
            .answers(of_registry(500, "The token cannot be signed."))
            .with_own_refusals(),
        Operation::get("/health/live", "isLive", "Whether the process lives").gives::<Live>("It does."),
        Operation::get("/health/ready", "isReady", "Whether the gateway can do its work")
            .gives::<Ready>("It can.")
            .answers(Answer {
                contents: vec![("application/json", Some(schema_of::<Ready>))],
                ..Answer::empty(503, "It cannot.")
            }),
    ]
}
