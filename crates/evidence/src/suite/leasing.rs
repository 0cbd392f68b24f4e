//! One import of a tenant at a time.

use futures::future::join_all;

use super::fixture::{TestClock, advisory, import, seen, tenant};
use crate::{EvidenceLedger, ImportSession, LedgerError};

pub(super) async fn one_session_at_a_time(ledger: &dyn EvidenceLedger, clock: &TestClock) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let mut session = ledger.begin_import(&acme).await.unwrap();
    let end = clock.terms().end();
    match ledger.begin_import(&acme).await.err().unwrap() {
        LedgerError::ImportInProgress { tenant, until } => assert_eq!((tenant, until), (acme.clone(), end)),
        other => panic!("{other}"),
    }
    ledger.begin_import(&other).await.unwrap().abandon().await.unwrap();
    for n in 0..4 {
        clock.pass(60);
        session.put(vec![advisory("a", "s", n)]).await.unwrap();
        let refused = ledger.begin_import(&acme).await.err().unwrap();
        assert!(matches!(refused, LedgerError::ImportInProgress { .. }), "each put renews the lease");
    }
    let watermark = session.commit().await.unwrap();
    assert_eq!(seen(ledger, &acme, watermark.sequence).await, ["a 3"]);
    ledger.begin_import(&acme).await.unwrap().abandon().await.unwrap();
    ledger.begin_import(&acme).await.unwrap().commit().await.unwrap();
}

pub(super) async fn of_many_that_begin_at_once_one_wins(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    for round in 1..=3 {
        let outcomes = join_all((0..8).map(|_| ledger.begin_import(&acme))).await;
        let mut winners: Vec<Box<dyn ImportSession>> = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(session) => winners.push(session),
                Err(error) => assert!(matches!(error, LedgerError::ImportInProgress { .. }), "{error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let mut session = winners.remove(0);
        session.put(vec![advisory("a", "s", round)]).await.unwrap();
        session.commit().await.unwrap();
    }
}

pub(super) async fn a_session_that_slept_too_long_can_do_nothing(ledger: &dyn EvidenceLedger, clock: &TestClock) {
    let acme = tenant("acme");
    import(ledger, &acme, vec![advisory("a", "s", 1), advisory("b", "s", 1)]).await;
    let mut slow = ledger.begin_import(&acme).await.unwrap();
    slow.put(vec![advisory("a", "s", 5), advisory("x", "s", 5)]).await.unwrap();
    let mut slower = {
        clock.pass(101);
        ledger.begin_import(&acme).await.unwrap()
    };
    slower.put(vec![advisory("b", "s", 6)]).await.unwrap();
    clock.pass(101);
    let mut quick = ledger.begin_import(&acme).await.unwrap();
    let lost = |error: LedgerError| {
        assert!(matches!(&error, LedgerError::LeaseLost { tenant } if tenant.as_str() == "acme"), "{error}");
        assert!(!error.is_transient());
    };
    lost(slow.put(vec![advisory("y", "s", 5)]).await.unwrap_err());
    lost(slow.put(vec![advisory("b", "s", 1)]).await.unwrap_err());
    quick.put(vec![advisory("c", "s", 2)]).await.unwrap();
    lost(slower.put(vec![advisory("z", "s", 6)]).await.unwrap_err());
    lost(slow.commit().await.unwrap_err());
    let watermark = quick.commit().await.unwrap();
    slower.abandon().await.unwrap();
    assert_eq!(seen(ledger, &acme, watermark.sequence).await, ["a 1", "b 1", "c 2"]);
    assert_eq!(ledger.watermark(&acme).await.unwrap(), watermark);

    // Nobody took the place of a session that overslept: it may go on.
    let mut late = ledger.begin_import(&acme).await.unwrap();
    clock.pass(300);
    late.put(vec![advisory("d", "s", 4)]).await.unwrap();
    let watermark = late.commit().await.unwrap();
    assert_eq!(seen(ledger, &acme, watermark.sequence).await, ["a 1", "b 1", "c 2", "d 4"]);
}
