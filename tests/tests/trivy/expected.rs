//! What scans must find: package, version, id, fixed versions, severity and data source, as [`export_tests::Detected::lines`] gives them.

/// What must be found in the folders of `tests/fixtures/trivy/vulnerable`.
pub(crate) const LOCK_FILES: [(&str, &[&str]); 9] = [
    (
        "bundler",
        &[
            "actionpack 3.2.10 CVE-2013-0156 2.3.15, 3.0.19, 3.1.10, 3.2.11 HIGH ghsa",
            "actionview 5.2.2 CVE-2019-5418 4.2.11.1, 5.0.7.2, 5.1.6.2, 5.2.2.1 HIGH ghsa",
            "activerecord 6.0.5 CVE-2022-32224 5.2.8.1, 6.0.5.1, 6.1.6.1, 7.0.3.1 CRITICAL ghsa",
        ],
    ),
    (
        "cargo",
        &[
            "h2 0.3.16 CVE-2023-26964 0.3.17 HIGH osv",
            "h2 0.3.16 RUSTSEC-2024-0332 0.3.26, 0.4.4 UNKNOWN osv",
            "regex 1.5.4 CVE-2022-24713 1.5.5 HIGH osv",
            "smallvec 1.6.0 CVE-2021-25900 0.6.14, 1.6.1 CRITICAL osv",
        ],
    ),
    (
        "composer",
        &[
            "drupal/core 8.5.0 CVE-2018-7600 7.58, 8.3.9, 8.4.6, 8.5.1 CRITICAL ghsa",
            "facade/ignition 2.5.1 CVE-2021-3129 2.5.2 CRITICAL osv",
            "phpunit/phpunit 5.6.2 CVE-2017-9841 4.8.28, 5.6.3 CRITICAL ghsa",
        ],
    ),
    (
        "go",
        &[
            "github.com/dgrijalva/jwt-go v3.2.0+incompatible CVE-2020-26160 - HIGH govulndb",
            "golang.org/x/crypto v0.30.0 CVE-2024-45337 0.31.0 CRITICAL govulndb",
            "golang.org/x/net v0.16.0 CVE-2023-39325 0.17.0 HIGH govulndb",
            "golang.org/x/net v0.16.0 CVE-2023-44487 0.17.0 HIGH govulndb",
            "golang.org/x/text v0.3.7 CVE-2022-32149 0.3.8 HIGH govulndb",
            "gopkg.in/yaml.v3 v3.0.0-20210107192922-496545a6307b CVE-2022-28948 3.0.0-20220521103104-8f96da9f5d5e HIGH govulndb",
        ],
    ),
    (
        "maven",
        &[
            "com.fasterxml.jackson.core:jackson-databind 2.8.8 CVE-2017-7525 2.6.7.1, 2.7.9.1, 2.8.9 CRITICAL ghsa",
            "org.apache.commons:commons-text 1.9 CVE-2022-42889 1.10.0 CRITICAL ghsa",
            "org.apache.logging.log4j:log4j-core 2.14.1 CVE-2021-44228 2.3.1, 2.12.2, 2.15.0 CRITICAL ghsa",
            "org.apache.logging.log4j:log4j-core 2.14.1 CVE-2021-45046 2.12.2, 2.16.0 CRITICAL ghsa",
            "org.springframework:spring-beans 5.3.17 CVE-2022-22965 5.2.20, 5.3.18 CRITICAL ghsa",
            "org.yaml:snakeyaml 1.33 CVE-2022-1471 2.0 CRITICAL ghsa",
        ],
    ),
    (
        "npm",
        &[
            "@babel/traverse 7.23.1 CVE-2023-45133 7.23.2, 8.0.0-alpha.4 CRITICAL ghsa",
            "cross-spawn 7.0.4 CVE-2024-21538 6.0.6, 7.0.5 HIGH ghsa",
            "flatmap-stream 0.1.1 GHSA-mh6f-8j2x-4483 - UNKNOWN ghsa",
            "lodash 4.17.11 CVE-2019-10744 4.17.12 CRITICAL ghsa",
            "lodash 4.17.11 CVE-2021-23337 4.17.21 HIGH ghsa",
            "minimist 1.2.5 CVE-2021-44906 0.2.4, 1.2.6 CRITICAL ghsa",
            "node-fetch 2.6.6 CVE-2022-0235 2.6.7, 3.1.1 MEDIUM ghsa",
        ],
    ),
    (
        "nuget",
        &[
            "Newtonsoft.Json 12.0.3 CVE-2024-21907 13.0.1 HIGH ghsa",
            "System.Text.RegularExpressions 4.3.0 CVE-2019-0820 4.3.1 HIGH ghsa",
        ],
    ),
    (
        "pip",
        &[
            "Django 4.0.5 CVE-2022-34265 3.2.14, 4.0.6 CRITICAL ghsa",
            "requests 2.30.0 CVE-2023-32681 2.31.0 MEDIUM ghsa",
            "urllib3 1.26.4 CVE-2021-33503 1.26.5 HIGH ghsa",
        ],
    ),
    ("poetry", &["jinja2 3.1.3 CVE-2024-34064 3.1.4 MEDIUM ghsa", "pyyaml 5.3.1 CVE-2020-14343 5.4 CRITICAL ghsa"]),
];

/// What must be found in the SBOMs of `tests/fixtures/trivy/vulnerable/systems`.
pub(crate) const SYSTEMS: [(&str, [&str; 2]); 5] = [
    (
        "alma",
        [
            "openssh 8.7p1-38.el9 CVE-2024-6387 8.7p1-38.el9_4.1 HIGH alma",
            "openssh-server 8.7p1-38.el9 CVE-2024-6387 8.7p1-38.el9_4.1 HIGH alma",
        ],
    ),
    (
        "alpine",
        [
            "busybox 1.34.1-r4 CVE-2022-28391 1.34.1-r5 HIGH alpine",
            "ssl_client 1.34.1-r4 CVE-2022-28391 1.34.1-r5 HIGH alpine",
        ],
    ),
    (
        "debian",
        [
            "openssh-client 1:9.2p1-2+deb12u2 CVE-2024-6387 1:9.2p1-2+deb12u3 HIGH debian",
            "openssh-server 1:9.2p1-2+deb12u2 CVE-2024-6387 1:9.2p1-2+deb12u3 HIGH debian",
        ],
    ),
    (
        "rocky",
        [
            "openssh 8.7p1-38.el9 CVE-2024-6387 8.7p1-38.el9_4.1 HIGH rocky",
            "openssh-server 8.7p1-38.el9 CVE-2024-6387 8.7p1-38.el9_4.1 HIGH rocky",
        ],
    ),
    (
        "ubuntu",
        [
            "openssh-client 1:8.9p1-3ubuntu0.7 CVE-2024-6387 1:8.9p1-3ubuntu0.10 HIGH ubuntu",
            "openssh-server 1:8.9p1-3ubuntu0.7 CVE-2024-6387 1:8.9p1-3ubuntu0.10 HIGH ubuntu",
        ],
    ),
];

/// Of GitHub's advisories its own word counts, not the score; those of Python's database rate nothing.
///
/// What must be found in the lock files of `tests/fixtures/trivy/evidence`, and nothing else, among the real advisories.
pub(crate) const EVIDENCE: [(&str, &[&str]); 8] = [
    (
        "bundler",
        &[
            "activerecord-session_store 1.1.3 CVE-2019-25025 2.0.0 MEDIUM ghsa",
            "atlas-client 0.0.2 MAL-2024-6715 - UNKNOWN osv",
        ],
    ),
    ("cargo", &["chrono 0.4.19 RUSTSEC-2020-0159 0.4.20 UNKNOWN osv", "zip 2.2.0 CVE-2025-29787 2.3.0 HIGH osv"]),
    (
        "composer",
        &[
            "drupal/ctools 3.5.0 DRUPAL-CONTRIB-2021-009 3.6.0 UNKNOWN osv",
            "drupal/ctools 3.5.0 DRUPAL-CONTRIB-2021-015 3.7.0 UNKNOWN osv",
        ],
    ),
    (
        "go",
        &[
            "github.com/gorilla/websocket v1.4.0 CVE-2020-27813 1.4.1 UNKNOWN govulndb",
            "github.com/sirupsen/logrus v1.8.1 CVE-2025-65637 1.8.3, 1.9.1, 1.9.3 HIGH govulndb",
        ],
    ),
    (
        "maven",
        &[
            "io.netty:netty-codec-http 4.1.107.Final CVE-2024-29025 4.1.108.Final MEDIUM ghsa",
            "io.vertx:vertx-core 4.4.7 CVE-2024-1300 4.4.8, 4.5.3 MEDIUM ghsa",
        ],
    ),
    (
        "npm",
        &[
            "32red-api 999.9.9 MAL-2024-10572 - UNKNOWN osv",
            "@fastify/passport 2.2.0 CVE-2023-29020 1.1.0, 2.3.0 MEDIUM ghsa",
            "@langchain/community 0.3.2 CVE-2024-7042 0.3.3 LOW ghsa",
        ],
    ),
    ("nuget", &["Microsoft.NETCore.App.Runtime.win-x64 5.0.8 CVE-2021-26423 3.1.18, 5.0.9 HIGH ghsa"]),
    (
        "pip",
        &[
            "certifi 2022.12.7 CVE-2023-37920 2023.7.22 MEDIUM osv",
            "httpx 0.19.0 CVE-2021-41945 0.20.0 UNKNOWN osv",
            "uvicorn 0.11.6 CVE-2020-7694 0.11.7 UNKNOWN osv",
            "uvicorn 0.11.6 CVE-2020-7695 0.11.7 UNKNOWN osv",
        ],
    ),
];

/// Severities are those of the titles of errata, which rate vulnerabilities of libraries too that nobody else rates.
///
/// What must be found in the SBOM of an `AlmaLinux` among the real advisories, openssh aside, for which there are more every month.
pub(crate) const EVIDENCE_ALMA: [&str; 3] = [
    "bash 5.1.8-4.el9 CVE-2022-3715 5.1.8-6.el9_1 MEDIUM alma",
    "xz 5.2.5-7.el9 CVE-2022-1271 5.2.5-8.el9_0 HIGH alma",
    "zlib 1.2.11-31.el9 CVE-2022-37434 1.2.11-32.el9_0 MEDIUM alma",
];
