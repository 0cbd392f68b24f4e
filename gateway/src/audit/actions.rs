//! Which request is which action.

use export_contract::audit::AuditAction;
use http::Method;

use super::target;

/// What a request does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It changes something.
    Changes,
    /// It takes something out.
    Reads,
}

/// The action of a request and its object; `None` of one that only looks.
pub(crate) fn of(method: &Method, path: &str) -> Option<(AuditAction, Manner, String)> {
    use AuditAction as A;
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let takes = matches!(*method, Method::GET | Method::HEAD);
    let reads = |action, object: String| takes.then_some((action, Manner::Reads, object));
    match segments.as_slice() {
        ["api", "export", "runs", run, "download"] if takes => {
            reads(A::BundleDownloaded, format!("runs/{run}/files/bundle.tar"))
        }
        ["api", "export", "runs", run, "manifest"] if takes => {
            reads(A::ManifestRead, format!("runs/{run}/files/export.json"))
        }
        ["api", "export", "runs", run, "provenance"] if takes => {
            reads(A::FileRead, format!("runs/{run}/files/provenance.json"))
        }
        ["api", "export", "runs", _, "files", _] if takes => reads(A::FileRead, target(path)),
        ["api", "export", "links", _, run, file] if takes => reads(A::LinkFollowed, format!("runs/{run}/files/{file}")),
        ["v2", _, _, "manifests" | "blobs", _] => reads(A::RegistryPulled, target(path)),
        ["vex", _, _, "repository.tar.zst"] => reads(A::VexPulled, target(path)),
        ["api", "export", ..] if !takes => Some((changes(method, &segments), Manner::Changes, target(path))),
        _ => None,
    }
    .map(|(action, manner, object)| (action, manner, object.chars().take(256).collect()))
}

fn changes(method: &Method, segments: &[&str]) -> AuditAction {
    use AuditAction as A;
    let below = segments.get(2..).unwrap_or_default();
    match (method, below) {
        (&Method::POST, ["profiles"]) => A::ProfileCreated,
        (&Method::PATCH | &Method::PUT, ["profiles", _]) => A::ProfileRevised,
        (&Method::DELETE, ["profiles", _]) => A::ProfileDeleted,
        (&Method::POST, ["runs"]) => A::RunSubmitted,
        (&Method::POST, ["runs", _, "cancel"]) => A::RunCancelled,
        (&Method::POST, ["runs" | "dead-letters", _, "replay"]) => A::RunReplayed,
        (&Method::POST, ["runs", _, "links"]) => A::LinkCreated,
        (&Method::POST, ["schedules"]) => A::ScheduleCreated,
        (&Method::PATCH | &Method::PUT, ["schedules", _]) => A::ScheduleChanged,
        (&Method::DELETE, ["schedules", _]) => A::ScheduleDeleted,
        (&Method::POST, ["webhooks"]) => A::WebhookCreated,
        (&Method::PATCH | &Method::PUT, ["webhooks", _]) => A::WebhookChanged,
        (&Method::DELETE, ["webhooks", _]) => A::WebhookDeleted,
        (&Method::POST, ["webhooks", _, "secret"]) => A::WebhookChanged,
        (&Method::POST, ["webhooks", _, "test"] | ["webhooks", _, "deliveries", _, "replay"]) => A::WebhookSent,
        _ => A::RequestMade,
    }
}

#[cfg(test)]
mod tests {
    use export_contract::audit::AuditAction as A;
    use http::Method;

    use super::{Manner, of};

    #[test]
    fn every_request_that_changes_something_has_an_action_and_those_that_look_have_none() {
        for (method, path, expected) in [
            ("POST", "/api/export/profiles", Some((A::ProfileCreated, "profiles"))),
            ("PATCH", "/api/export/profiles/weekly", Some((A::ProfileRevised, "profiles/weekly"))),
            ("DELETE", "/api/export/profiles/weekly", Some((A::ProfileDeleted, "profiles/weekly"))),
            ("POST", "/api/export/runs", Some((A::RunSubmitted, "runs"))),
            ("POST", "/api/export/runs/1/cancel", Some((A::RunCancelled, "runs/1/cancel"))),
            ("POST", "/api/export/runs/1/replay", Some((A::RunReplayed, "runs/1/replay"))),
            ("POST", "/api/export/dead-letters/7/replay", Some((A::RunReplayed, "dead-letters/7/replay"))),
            ("POST", "/api/export/runs/1/links", Some((A::LinkCreated, "runs/1/links"))),
            ("DELETE", "/api/export/schedules/a", Some((A::ScheduleDeleted, "schedules/a"))),
            (
                "POST",
                "/api/export/webhooks/a/deliveries/b/replay",
                Some((A::WebhookSent, "webhooks/a/deliveries/b/replay")),
            ),
            ("POST", "/api/export/something/new", Some((A::RequestMade, "something/new"))),
            ("GET", "/api/export/runs/1/download", Some((A::BundleDownloaded, "runs/1/files/bundle.tar"))),
            ("HEAD", "/api/export/runs/1/manifest", Some((A::ManifestRead, "runs/1/files/export.json"))),
            ("GET", "/api/export/runs/1/files/x.sig", Some((A::FileRead, "runs/1/files/x.sig"))),
            ("GET", "/api/export/links/acme/1/x.sig", Some((A::LinkFollowed, "runs/1/files/x.sig"))),
            ("GET", "/v2/acme/trivy-db/manifests/2", Some((A::RegistryPulled, "v2/acme/trivy-db/manifests/2"))),
            ("GET", "/vex/acme/a/repository.tar.zst", Some((A::VexPulled, "vex/acme/a/repository.tar.zst"))),
            ("GET", "/api/export/runs", None),
            ("GET", "/api/export/runs/1", None),
            ("GET", "/api/export/runs/1/events", None),
            ("GET", "/api/export/audit", None),
            ("GET", "/health/live", None),
            ("POST", "/authority/token", None),
        ] {
            let found = of(&Method::from_bytes(method.as_bytes()).unwrap(), path);
            let reads = matches!(method, "GET" | "HEAD");
            let manner = if reads { Manner::Reads } else { Manner::Changes };
            assert_eq!(found, expected.map(|(action, object)| (action, manner, object.to_owned())), "{method} {path}");
        }
        let long = format!("/api/export/runs/{}/cancel", "x".repeat(9_000));
        assert_eq!(of(&Method::POST, &long).unwrap().2.len(), 256);
    }
}
