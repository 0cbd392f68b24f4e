//! What deploys us: rules and alerts, dashboards, the compose files and the chart. `compose/check.py` judges them with Prometheus' own program, the
//! reference implementation of the Compose Specification, Helm and the types of Kubernetes; here each check is a test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::PathBuf;

use export_tests::{is_left_out, output, programs, python, workspace};

/// Passes over a check whose programs `EXPORT_TESTS_WITHOUT` names.
fn check(name: &str, programs: &[&str]) {
    if programs.iter().any(|program| is_left_out(program)) {
        return;
    }
    let script: PathBuf = workspace().join("compose/check.py");
    output(python().arg(script).arg(name)).unwrap();
}

#[test]
fn every_alert_fires_when_it_should_and_not_when_it_should_not() {
    check("rules", &["promtool"]);
}

#[test]
fn rules_and_dashboards_ask_only_for_metrics_that_are_served() {
    check("metrics", &[]);
}

#[test]
fn dashboards_show_what_prometheus_understands() {
    check("dashboards", &["promtool"]);
}

#[test]
fn every_alert_has_a_runbook() {
    check("runbooks", &[]);
}

#[test]
fn every_test_that_the_compliance_page_names_is_there() {
    check("compliance", &[]);
}

#[test]
fn services_are_healthchecked_confined_and_limited_and_an_offline_site_leads_nowhere() {
    check("compose", &["compose-spec"]);
}

#[test]
fn the_broker_reads_its_configuration_with_the_secrets_that_are_made() {
    check("nats", &["nats-server"]);
}

#[test]
fn the_chart_makes_what_kubernetes_takes_and_refuses_values_that_it_does_not_know() {
    check("chart", &["helm", "kube-decode"]);
}

#[test]
fn the_server_takes_what_each_role_of_each_deployment_is_told() {
    if ["compose-spec", "helm", "kube-decode"].into_iter().any(is_left_out) {
        return;
    }
    let server = &programs().unwrap().exportd;
    output(python().arg(workspace().join("compose/check.py")).arg("settings").env("EXPORTD", server)).unwrap();
}
