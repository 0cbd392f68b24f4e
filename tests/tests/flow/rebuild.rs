//! A broker that lost its store is filled again from the run ledger and the results in staging.

use export_contract::run::RunStatus;
use export_tests::{Deployment, LOCAL_TENANT, Store, finish, heavy, resume, start, suspend};
use serde_json::Value;

use crate::{corner, is, small_parts, wait_for};

/// The role that is stopped before a run is started, and how far the run gets.
const HELD: [(&str, &str); 6] = [
    ("distribute", "run.signed sign"),
    ("sign", "stage.completed manifest"),
    ("manifest", "stage.completed adapt"),
    ("adapt-1", "stage.completed resolve"),
    ("resolve", "stage.completed plan"),
    ("plan", "run.running -"),
];

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_every_phase_end_well_after_the_log_was_rebuilt_and_rebuilding_repeats() {
    let _turn = heavy().await;
    let sections = "[limits]\nactive_runs = 20\n";
    let setup = export_tests::Setup::apart(Store::Sqlite, 1);
    let mut deployment = Deployment::start_with(setup, "", sections).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 800).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 200).await;
    let expected = deployment.run("small-parts").await.unwrap();
    let mut runs = Vec::new();
    let mut held = Vec::new();
    for (role, before) in HELD {
        let pid = deployment.pid(role).unwrap();
        suspend(pid).unwrap();
        held.push(pid);
        for _ in 0..3 {
            let run = start(&client, "small-parts").await.unwrap();
            wait_for(&client, &run, |event| is(event, before)).await;
            runs.push(run);
        }
    }
    // Nobody is there who would do it by himself.
    deployment.kill("orchestrator").await.unwrap();
    deployment.kill_and_restart_broker(true).await.unwrap();
    let rebuild = || -> Value {
        serde_json::from_str(&deployment.exportd(&["orchestrator", "rebuild", "--output", "json"]).unwrap()).unwrap()
    };
    let first = rebuild();
    assert_eq!((&first["rebuilt"]["runs"], &first["rebuilt"]["errors"]), (&18.into(), &0.into()), "{first:#}");
    let told: Vec<&str> = first["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert!(runs.iter().all(|run| told.contains(&run.id.as_str())), "{first:#}");
    assert!(first["rebuilt"]["events"].as_u64().unwrap() > 18 * 2, "{first:#}");
    let second = rebuild();
    assert_eq!((&second["rebuilt"]["recorded"], &second["rebuilt"]["ended"]), (&0.into(), &0.into()), "{second:#}");
    for pid in held {
        resume(pid).unwrap();
    }
    // What was signed is handed over without any orchestrator: the log had its command.
    let handed = || runs.iter().take(3).all(|run| corner(&deployment, &run.id).join("g1/distribute.json").exists());
    while !handed() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // And once more beside workers at work.
    rebuild();
    deployment.restart().await.unwrap();
    for run in &runs {
        let finished = finish(&client, run.id.as_str()).await.unwrap();
        finished.assert_once();
        assert_eq!((finished.run.status, finished.digest()), (RunStatus::Succeeded, expected.digest()));
    }
}
