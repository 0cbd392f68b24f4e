//! What every target promises, by registries with and without the referrers API.

use export_targets::registries::Program;
use export_targets::suite::conformance;

use crate::peer::Pushed;

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_the_referrers_api_keeps_the_promises_of_a_target() {
    let Some(pushed) = Pushed::start(Program::DockerRegistry).await else { return };
    conformance(&pushed.target(), &pushed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_the_referrers_api_keeps_the_promises_of_a_target() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    conformance(&pushed.target(), &pushed).await;
}
