//! Runs, and the files that they made.

use export_contract::ErrorCode;
use export_contract::dead_letter::KeptLetter;
use export_contract::run::RunStatus;
use serde_json::json;

use super::super::operation::{Access, Answer, Operation, header, query};
use super::{DOWNLOAD, READ, RUN, cursor, limit, link_header};
use crate::dead_letters::LetterPage;
use crate::links::{MadeLink, NewLink};
use crate::replay::NewReplay;
use crate::runs::{NewRun, RunPage, RunView};

pub(super) fn runs() -> Vec<Operation> {
    let statuses = RunStatus::ALL.map(RunStatus::as_str);
    vec![
        Operation::post("/api/export/runs", "createRun", "A run of a profile")
            .scopes(RUN)
            .takes::<NewRun>(json!({ "profileId": "json-raw", "selectors": { "ecosystems": ["npm"] } }))
            .idempotent()
            .with(header(
                "X-Correlation-Id",
                json!({ "type": "string", "maxLength": 128 }),
                "Follows the run through logs and traces.",
            ))
            .answers(quota_headers(
                Answer::json::<RunView>(202, "The run, which waits for its turn.").header("Location", "The run."),
            ))
            .refuses(&[
                ErrorCode::ProfileNotFound,
                ErrorCode::ProfileUnsupported,
                ErrorCode::InvalidSelector,
                ErrorCode::ApprovalInvalid,
                ErrorCode::BaseMissing,
                ErrorCode::BaseMismatch,
            ]),
        Operation::get("/api/export/runs", "listRuns", "Runs of the tenant, newest first")
            .scopes(READ)
            .with(query("status", json!({ "type": "string", "enum": statuses }), "Only runs in this state."))
            .with(query("profile", json!({ "type": "string" }), "Only runs of this profile."))
            .with(limit())
            .with(cursor(json!({ "type": "string" })))
            .answers(link_header(Answer::json::<RunPage>(200, "One page, without inputs and distributions."))),
        Operation::get("/api/export/runs/{id}", "showRun", "One run: status, progress, inputs, distributions")
            .scopes(READ)
            .gives::<RunView>("The run.")
            .refuses(&[ErrorCode::RunNotFound]),
        Operation::post("/api/export/runs/{id}/cancel", "cancelRun", "Ends a pending or running run as `aborted`")
            .scopes(RUN)
            .idempotent()
            .gives::<RunView>("The run, which is `aborted`.")
            .refuses(&[ErrorCode::RunNotFound, ErrorCode::RunConflict]),
        Operation::post("/api/export/runs/{id}/replay", "replayRun", "A run that failed or was aborted, once more")
            .scopes(RUN)
            .takes::<NewReplay>(json!({ "from": "manifest" }))
            .idempotent()
            .answers(quota_headers(
                Answer::json::<RunView>(202, "The run in its next generation, which waits for its turn.")
                    .header("Location", "The run."),
            ))
            .refuses(&[ErrorCode::RunNotFound, ErrorCode::RunConflict, ErrorCode::Pruned, ErrorCode::ApprovalInvalid]),
        Operation::get("/api/export/runs/{id}/events", "followRun", "The timeline of a run as it grows")
            .scopes(READ)
            .with(header("Last-Event-ID", json!({ "type": "string" }), "Go on behind this event."))
            .with(query("after", json!({ "type": "integer", "minimum": 0 }), "The same, for whoever sets no headers."))
            .answers(Answer::bytes(
                200,
                &["text/event-stream", "application/x-ndjson"],
                "Events, until the one that ends the run; see docs/openapi.frozen.json.",
            ))
            .answers(Answer::empty(204, "Nothing will ever follow."))
            .refuses(&[ErrorCode::RunNotFound])
            .without_head(),
    ]
}

pub(super) fn dead_letters() -> Vec<Operation> {
    vec![
        Operation::get("/api/export/dead-letters", "listDeadLetters", "Commands that no stage could do, oldest first")
            .scopes(READ)
            .with(query("run", json!({ "type": "string" }), "Only those of this run."))
            .with(limit())
            .with(cursor(json!({ "type": "string" })))
            .answers(link_header(Answer::json::<LetterPage>(200, "One page."))),
        Operation::get("/api/export/dead-letters/{id}", "showDeadLetter", "One of them, and why it was given up")
            .scopes(READ)
            .gives::<KeptLetter>("The letter.")
            .refuses(&[ErrorCode::DeadLetterNotFound]),
        Operation::post(
            "/api/export/dead-letters/{id}/replay",
            "replayDeadLetter",
            "The letter's run once more, with all results that there are",
        )
        .scopes(RUN)
        .idempotent()
        .answers(quota_headers(
            Answer::json::<RunView>(202, "The run in its next generation, which waits for its turn.")
                .header("Location", "The run."),
        ))
        .refuses(&[
            ErrorCode::DeadLetterNotFound,
            ErrorCode::RunNotFound,
            ErrorCode::RunConflict,
            ErrorCode::Pruned,
            ErrorCode::ApprovalInvalid,
        ]),
    ]
}

fn quota_headers(answer: Answer) -> Answer {
    answer
        .header("X-Stella-Quota-Limit", "Runs of a day, where there is such a quota.")
        .header("X-Stella-Quota-Remaining", "How many are left.")
        .header("X-Stella-Quota-Reset", "Seconds until the next day.")
}

/// What a download can be refused with.
const NOT_THERE: [ErrorCode; 3] = [ErrorCode::RunNotFound, ErrorCode::NotReady, ErrorCode::Pruned];

fn identified(answer: Answer) -> Answer {
    answer
        .header("ETag", "Digest of the whole file.")
        .header("Repr-Digest", "The same (RFC 9530).")
        .header("X-Export-Digest", "The same, as in the run's record.")
        .header("X-Export-Length", "Bytes of the whole file.")
}

fn file(operation: Operation, media: &'static [&'static str]) -> Operation {
    operation.scopes(DOWNLOAD).answers(identified(Answer::bytes(200, media, "The file."))).refuses(&NOT_THERE)
}

/// A download that takes `Range`.
fn tar(operation: Operation, media: &'static [&'static str]) -> Operation {
    let text = || json!({ "type": "string" });
    operation
        .with(header("Range", text(), "One range of bytes (RFC 9110 section 14)."))
        .with(header("If-Range", text(), "The range only while the bundle is what this `ETag` names."))
        .with(header("If-None-Match", text(), "Nothing while the bundle is what this `ETag` names."))
        .with(header("TE", text(), "With `trailers`, the whole bundle ends with a `Repr-Digest` trailer."))
        .answers(
            identified(Answer::bytes(200, media, "The file."))
                .header("Trailer", "`repr-digest`, where it was asked for."),
        )
        .answers(identified(Answer::bytes(206, media, "The part.")).header("Content-Range", "Which part."))
        .answers(Answer::empty(304, "It is what `If-None-Match` names."))
        .refuses(&NOT_THERE)
        .refuses(&[ErrorCode::RangeNotSatisfiable])
}

pub(super) fn files() -> Vec<Operation> {
    let beside: &[&str] = &["application/json", "text/plain"];
    let any: &[&str] = &["application/x-tar", "application/json", "text/plain"];
    let link = "/api/export/links/{tenant}/{run}/{file}";
    vec![
        tar(
            Operation::get("/api/export/runs/{id}/download", "downloadBundle", "The bundle").scopes(DOWNLOAD),
            &["application/x-tar"],
        ),
        file(
            Operation::get("/api/export/runs/{id}/manifest", "downloadManifest", "`export.json`"),
            &["application/json"],
        ),
        file(
            Operation::get("/api/export/runs/{id}/provenance", "downloadProvenance", "`provenance.json`"),
            &["application/json"],
        )
        .refuses(&[ErrorCode::NotFound]),
        file(Operation::get("/api/export/runs/{id}/files/{name}", "downloadFile", "A file beside the bundle"), beside)
            .refuses(&[ErrorCode::NotFound]),
        Operation::post("/api/export/runs/{id}/links", "createLink", "A signed link to the bundle or a file beside it")
            .scopes(DOWNLOAD)
            .takes::<NewLink>(json!({ "expiresInSeconds": 600 }))
            .idempotent()
            .answers(Answer::json::<MadeLink>(201, "The link. Whoever has it may have the file."))
            .refuses(&NOT_THERE)
            .refuses(&[ErrorCode::NotFound]),
        tar(
            Operation::get(link, "followLink", "The file of a link, as its download")
                .access(Access::Link)
                .with(query("expires", json!({ "type": "integer" }), "Until when, seconds since 1970."))
                .with(query("signature", json!({ "type": "string" }), "What was signed.")),
            any,
        )
        .refuses(&[ErrorCode::LinkInvalid, ErrorCode::NotFound, ErrorCode::Unavailable]),
    ]
}
