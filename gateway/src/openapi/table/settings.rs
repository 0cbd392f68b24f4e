//! What is configured: profiles, schedules, webhooks.

use export_contract::ErrorCode;
use export_contract::webhook::{Delivery, Webhook};
use serde_json::json;

use super::super::operation::{Answer, Operation, header, query};
use super::{MANAGE, READ, RUN_AND_MANAGE, cursor, limit, link_header};
use crate::profiles::{NewProfile, ProfileChange, ProfilePage, ProfileView, RevisionPage};
use crate::schedules::{NewSchedule, ScheduleChange, ScheduleList, ScheduleView};
use crate::webhooks::{DeliveryPage, MadeWebhook, NewWebhook, SecretChange, WebhookChange, WebhookList};

pub(super) fn profiles() -> Vec<Operation> {
    let tagged = |answer: Answer| answer.header("ETag", "Names this state of the profile, for `If-Match`.");
    let view = |status, text| tagged(Answer::json::<ProfileView>(status, text));
    let text = json!({ "type": "string" });
    vec![
        Operation::get(
            "/api/export/profiles",
            "listProfiles",
            "Profiles of the tenant by id, six of which are built in",
        )
        .scopes(READ)
        .with(limit())
        .with(cursor(text.clone()))
        .answers(link_header(Answer::json::<ProfilePage>(200, "One page."))),
        Operation::post("/api/export/profiles", "createProfile", "A new profile")
            .scopes(MANAGE)
            .takes::<NewProfile>(json!({ "name": "nightly", "kind": "json:raw", "config": { "freshForHours": 36 } }))
            .idempotent()
            .answers(view(201, "The profile, in revision 1."))
            .answers(view(200, "The same profile was there."))
            .refuses(&[ErrorCode::InvalidProfile, ErrorCode::ProfileExists]),
        Operation::get("/api/export/profiles/{id}", "showProfile", "One profile")
            .scopes(READ)
            .with(query(
                "revision",
                json!({ "type": "string", "pattern": "^r?[0-9]{1,9}$" }),
                "A revision, such as `r2`; the newest unless said.",
            ))
            .answers(view(200, "The profile."))
            .refuses(&[ErrorCode::ProfileNotFound]),
        Operation::patch(
            "/api/export/profiles/{id}",
            "updateProfile",
            "A change: of `config` it makes a new revision, of the rest it does not",
        )
        .scopes(MANAGE)
        .takes::<ProfileChange>(json!({ "description": "for the auditors" }))
        .with(header("If-Match", text.clone(), "Only while the profile is what this `ETag` names."))
        .answers(view(200, "The profile as it is now."))
        .refuses(&[
            ErrorCode::ProfileNotFound,
            ErrorCode::InvalidProfile,
            ErrorCode::ProfileExists,
            ErrorCode::PreconditionFailed,
        ]),
        Operation::delete(
            "/api/export/profiles/{id}",
            "deleteProfile",
            "No more runs of a profile; those that were made keep theirs",
        )
        .scopes(MANAGE)
        .with(header("If-Match", text.clone(), "Only while the profile is what this `ETag` names."))
        .answers(Answer::empty(204, "It is deleted. Its id is not given away again."))
        .refuses(&[ErrorCode::ProfileNotFound, ErrorCode::ProfileInUse, ErrorCode::PreconditionFailed]),
        Operation::get("/api/export/profiles/{id}/revisions", "listRevisions", "Revisions of a profile, newest first")
            .scopes(READ)
            .with(limit())
            .with(cursor(text))
            .answers(link_header(Answer::json::<RevisionPage>(200, "One page.")))
            .refuses(&[ErrorCode::ProfileNotFound]),
    ]
}

pub(super) fn schedules() -> Vec<Operation> {
    let dry = || query("dryRun", json!({ "type": "string", "enum": ["true", "false"] }), "Only check.");
    let as_runs = [
        ErrorCode::InvalidSchedule,
        ErrorCode::InvalidSelector,
        ErrorCode::ProfileNotFound,
        ErrorCode::ProfileUnsupported,
        ErrorCode::BaseMissing,
        ErrorCode::BaseMismatch,
        ErrorCode::ScheduleExists,
    ];
    vec![
        Operation::get("/api/export/schedules", "listSchedules", "Schedules of the tenant by id")
            .scopes(READ)
            .gives::<ScheduleList>("All of them."),
        Operation::post("/api/export/schedules", "createSchedule", "Runs of a profile that recur")
            .scopes(RUN_AND_MANAGE)
            .takes::<NewSchedule>(json!({ "id": "nightly", "profileId": "json-raw", "cron": "0 3 * * *" }))
            .with(dry())
            .idempotent()
            .answers(Answer::json::<ScheduleView>(201, "The schedule."))
            .answers(Answer::json::<ScheduleView>(200, "The same schedule was there, or it was only checked."))
            .refuses(&as_runs)
            .refuses(&[ErrorCode::Quota]),
        Operation::get(
            "/api/export/schedules/{id}",
            "showSchedule",
            "One schedule, with what came of its last due time",
        )
        .scopes(READ)
        .gives::<ScheduleView>("The schedule.")
        .refuses(&[ErrorCode::ScheduleNotFound]),
        Operation::patch("/api/export/schedules/{id}", "updateSchedule", "The members to change")
            .scopes(RUN_AND_MANAGE)
            .takes::<ScheduleChange>(json!({ "enabled": false }))
            .with(dry())
            .gives::<ScheduleView>("The schedule as it is now.")
            .refuses(&as_runs)
            .refuses(&[ErrorCode::ScheduleNotFound]),
        Operation::delete("/api/export/schedules/{id}", "deleteSchedule", "No more runs; those that were made stay")
            .scopes(RUN_AND_MANAGE)
            .answers(Answer::empty(204, "It is deleted."))
            .refuses(&[ErrorCode::ScheduleNotFound]),
    ]
}

pub(super) fn webhooks() -> Vec<Operation> {
    let absent = [ErrorCode::WebhookNotFound];
    vec![
        Operation::get("/api/export/webhooks", "listWebhooks", "Webhooks of the tenant, without their secrets")
            .scopes(READ)
            .gives::<WebhookList>("All of them."),
        Operation::post("/api/export/webhooks", "createWebhook", "Who is told of the ends of runs")
            .scopes(RUN_AND_MANAGE)
            .takes::<NewWebhook>(json!({ "url": "https://hooks.example/export" }))
            .idempotent()
            .answers(Answer::json::<MadeWebhook<'_>>(201, "The webhook with its secret, which no other answer has."))
            .refuses(&[ErrorCode::InvalidWebhook, ErrorCode::WebhookConflict, ErrorCode::Quota]),
        Operation::get("/api/export/webhooks/{id}", "showWebhook", "One webhook")
            .scopes(READ)
            .gives::<Webhook>("The webhook.")
            .refuses(&absent),
        Operation::patch("/api/export/webhooks/{id}", "updateWebhook", "The members to change")
            .scopes(RUN_AND_MANAGE)
            .takes::<WebhookChange>(json!({ "enabled": true }))
            .gives::<Webhook>("The webhook as it is now.")
            .refuses(&absent)
            .refuses(&[ErrorCode::InvalidWebhook, ErrorCode::WebhookConflict]),
        Operation::post("/api/export/webhooks/{id}/secret", "rotateWebhookSecret", "Another secret for what is sent")
            .scopes(RUN_AND_MANAGE)
            .takes::<SecretChange>(json!({ "overlapSeconds": 86400 }))
            .idempotent()
            .answers(Answer::json::<MadeWebhook<'_>>(
                200,
                "The webhook with its new secret, which no other answer has.",
            ))
            .refuses(&absent)
            .refuses(&[ErrorCode::InvalidWebhook, ErrorCode::WebhookConflict]),
        Operation::delete("/api/export/webhooks/{id}", "deleteWebhook", "Nobody is told any more")
            .scopes(RUN_AND_MANAGE)
            .answers(Answer::empty(204, "It is deleted."))
            .refuses(&absent),
        Operation::post("/api/export/webhooks/{id}/test", "testWebhook", "A message that says nothing")
            .scopes(RUN_AND_MANAGE)
            .idempotent()
            .answers(Answer::json::<Delivery>(202, "It will be sent."))
            .refuses(&absent),
        Operation::get("/api/export/webhooks/{id}/deliveries", "listDeliveries", "Messages to a webhook, newest first")
            .scopes(READ)
            .with(limit())
            .with(cursor(json!({ "type": "string" })))
            .answers(link_header(Answer::json::<DeliveryPage>(200, "One page.")))
            .refuses(&absent),
        Operation::post(
            "/api/export/webhooks/{id}/deliveries/{delivery}/replay",
            "replayDelivery",
            "The same message again, under its id",
        )
        .scopes(RUN_AND_MANAGE)
        .idempotent()
        .answers(Answer::json::<Delivery>(202, "It will be sent."))
        .refuses(&absent)
        .refuses(&[ErrorCode::WebhookConflict]),
    ]
}
