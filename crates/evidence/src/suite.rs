//! What every driver of the port must do. Each driver calls [`conformance`] from its own tests.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking, as tests do")]

mod cutting;
mod fixture;
mod importing;
mod large;
mod leasing;
mod reading;

use std::sync::Arc;

pub use fixture::TestClock;

use crate::EvidenceLedger;
use crate::lease::LeaseTerms;

/// Runs the suite. `make` gives an empty ledger at each call, with the lease terms of the suite.
pub async fn conformance(make: impl AsyncFn(LeaseTerms) -> Arc<dyn EvidenceLedger>) {
    let clock = TestClock::default();
    let make = async || make(clock.terms()).await;
    reading::nothing_is_there_at_first(&*make().await).await;
    reading::each_watermark_shows_its_own_state(&*make().await).await;
    reading::order_is_that_of_the_bytes(&*make().await).await;
    reading::bounds_are_inside_and_a_cursor_gives_exactly_the_rest(&*make().await).await;
    reading::batches_are_bounded_and_never_empty(&*make().await).await;
    reading::a_read_is_not_disturbed_by_an_import(&*make().await).await;
    reading::tenants_do_not_see_each_other(&*make().await).await;
    cutting::cut_depends_on_the_data_alone(&*make().await, &*make().await).await;
    cutting::cut_obeys_the_selectors(&*make().await).await;
    cutting::a_part_of_large_records_closes_by_their_bytes(&*make().await).await;
    cutting::a_cut_by_keys_moves_only_where_records_come_and_go(&*make().await).await;
    importing::same_content_is_not_written_again(&*make().await).await;
    importing::later_record_of_the_same_identity_wins(&*make().await).await;
    importing::what_is_not_committed_is_never_seen(&*make().await, &clock).await;
    importing::an_unreadable_document_is_refused_and_the_rest_goes_on(&*make().await).await;
    leasing::one_session_at_a_time(&*make().await, &clock).await;
    leasing::of_many_that_begin_at_once_one_wins(&*make().await).await;
    leasing::a_session_that_slept_too_long_can_do_nothing(&*make().await, &clock).await;
    large::large_documents_come_back_whole(&*make().await).await;
}
