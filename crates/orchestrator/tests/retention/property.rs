//! The property (invariant I-25).

use proptest::test_runner::{Config, TestRunner};

use super::history::{deeds, keeps};
use super::world::World;

/// Histories; each makes some hundred files and transactions that are made durable. With `EXPORT_TESTS_SOAK` twenty times as many.
const HISTORIES: u32 = 24;

#[test]
fn nothing_that_a_live_run_delta_or_lock_needs_is_ever_pruned_and_everything_else_is_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let soak = std::env::var_os("EXPORT_TESTS_SOAK").is_some();
    // Histories are long, and a shorter one that fails, too, is worth some tries and no more.
    let mut runner = TestRunner::new(Config {
        cases: if soak { HISTORIES * 20 } else { HISTORIES },
        max_shrink_iters: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let histories = ([keeps(), keeps(), keeps()], deeds());
    let outcome = runner.run(&histories, |(keeps, deeds)| {
        runtime.block_on(async {
            let mut world = World::new(keeps).await;
            for deed in &deeds {
                let before = world.look().await;
                Box::pin(world.does(deed, &keeps)).await;
                world.assert_nothing_needed_is_gone(&before).await;
            }
            Box::pin(world.comes_to_rest()).await;
            world.assert_everything_else_is_gone_once().await;
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
