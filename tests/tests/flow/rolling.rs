//! An upgrade restarts one process after the other, under load.

use std::collections::BTreeMap;

use export_client::NewRun;
use export_contract::run::RunOptions;
use export_tests::{Deployment, Store, finish, heavy, start, workspace};

/// Built-in profiles of every kind of adapter that needs no more than the samples.
const PROFILES: [&str; 4] = ["json-raw", "trivy-db", "trivy-java-db", "mirror-full"];

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_are_restarted_one_after_the_other_under_load_change_neither_outcome_nor_bytes() {
    let _turn = heavy().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 2).await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    let client = deployment.client().unwrap();
    let mut expected = BTreeMap::new();
    for profile in PROFILES {
        let finished = deployment.run(profile).await.unwrap();
        expected.insert(profile.to_owned(), (finished.digest().clone(), finished.run.id.clone()));
    }
    let base = expected["mirror-full"].1.to_string();
    let delta = NewRun {
        profile_id: "mirror-delta".to_owned(),
        options: RunOptions { base_export_id: Some(base), ..RunOptions::default() },
        ..NewRun::default()
    };
    let first = client.start_run(&delta, None).await.unwrap();
    let first = finish(&client, first.id.as_str()).await.unwrap();
    expected.insert("mirror-delta".to_owned(), (first.digest().clone(), first.run.id.clone()));
    // The gateway that is restarted is not the one that is asked meanwhile.
    let other = deployment.another_gateway().await.unwrap();
    assert_ne!(other, deployment.server());
    let roles =
        ["orchestrator", "plan", "resolve", "adapt-1", "adapt-2", "manifest", "sign", "distribute", "gateway-2"];
    for role in roles {
        let mut runs = Vec::new();
        for profile in PROFILES {
            runs.push((profile, start(&client, profile).await.unwrap()));
        }
        runs.push(("mirror-delta", client.start_run(&delta, None).await.unwrap()));
        deployment.roll(role).await.unwrap();
        for (profile, run) in runs {
            let finished = finish(&client, run.id.as_str()).await.unwrap_or_else(|error| panic!("{role}: {error:#}"));
            finished.assert_once();
            assert_eq!(finished.digest(), &expected[profile].0, "{profile} while {role} was restarted");
        }
    }
}
