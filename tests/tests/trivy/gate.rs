//! The schema gate: a database in another schema than the one that is made is refused before anything is read.

use export_contract::run::{Phase, RunStatus};
use export_tests::{Deployment, light};
use serde_json::json;

use crate::exported::samples;

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_made_fails_in_plan_and_says_which_one_is() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.import(&[samples().as_path()]).unwrap();
    let client = deployment.client().unwrap();
    for (kind, made) in [("trivy:db", 2), ("trivy:java-db", 1)] {
        for asked in [0, 1, 2, 3] {
            let id = format!("{}-{asked}", kind.replace(':', "-"));
            let config = json!({ "schemaVersion": asked });
            let profile = json!({ "id": id, "name": id, "kind": kind, "config": config });
            client.create_profile(&profile).await.unwrap();
            let finished = deployment.run(&id).await.unwrap();
            if asked == made {
                assert_eq!(finished.run.status, RunStatus::Succeeded, "{kind} in schema {asked}");
                assert!(finished.run.bundle.as_ref().is_some_and(|bundle| bundle.records > 0), "records are counted");
                continue;
            }
            assert_eq!(finished.run.status, RunStatus::Failed, "{kind} in schema {asked}");
            let code = finished.run.error_code.map(export_contract::ErrorCode::as_str);
            assert_eq!(code, Some("ERR_EXPORT_SCHEMA_UNSUPPORTED"));
            let last = finished.events.last().unwrap();
            assert_eq!(last.phase, Some(Phase::Plan), "nothing was read");
            let told = format!("the profile's schemaVersion is {asked}, and `{kind}` is made in schema {made}");
            assert!(format!("{last:?}").contains(&told), "{last:?}");
        }
    }
}
