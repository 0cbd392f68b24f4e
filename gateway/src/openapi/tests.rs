use std::collections::{BTreeMap, BTreeSet};

use export_contract::ErrorCode;

use super::OPERATIONS;
use super::operation::Access;
use crate::problem;

#[test]
fn every_row_has_a_name_and_a_method_of_its_own() {
    let ids: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), OPERATIONS.len(), "two rows of one name");
    let places: BTreeSet<(&str, &str)> =
        OPERATIONS.iter().map(|operation| (operation.method, operation.path)).collect();
    assert_eq!(places.len(), OPERATIONS.len(), "two rows of one method and path");
    for operation in OPERATIONS.iter() {
        assert!(
            operation.is_at(operation.path) && operation.is_at(&format!("{}/", operation.path.trim_end_matches('/'))),
            "{}",
            operation.id
        );
        let here = OPERATIONS.iter().filter(|other| other.is_at(operation.path) && other.method == operation.method);
        assert_eq!(here.count(), 1, "{} can be mistaken for another row", operation.id);
        assert!(operation.answers.iter().any(|answer| answer.status < 300), "{} never succeeds", operation.id);
    }
}

/// A status has one form: problems, or what the row says.
#[test]
fn no_answer_stands_in_the_way_of_a_problem() {
    for operation in OPERATIONS.iter() {
        let mut statuses = BTreeMap::new();
        for answer in &operation.answers {
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
        let problems: BTreeSet<u16> = operation.codes.iter().map(|code| problem::status(*code).as_u16()).collect();
        for (status, count) in statuses {
            assert_eq!(count, 1, "{} answers twice with {status}", operation.id);
            assert!(!problems.contains(&status), "{}: {status} is a problem too", operation.id);
        }
    }
}

/// What acts or creates may be repeated.
#[test]
fn every_post_takes_an_idempotency_key() {
    for operation in OPERATIONS.iter().filter(|operation| operation.method == "POST") {
        let takes = operation.parameters.iter().any(|parameter| parameter.name == "Idempotency-Key");
        assert_eq!(takes, operation.id != "issueToken", "{}", operation.id);
        assert_eq!(takes, operation.codes.contains(&ErrorCode::IdempotencyInFlight), "{}", operation.id);
    }
    let changes = OPERATIONS.iter().filter(|operation| operation.method != "GET" && operation.id != "issueToken");
    for operation in changes {
        assert!(matches!(operation.access, Access::Token([_, ..])), "{} needs no scope", operation.id);
    }
}
