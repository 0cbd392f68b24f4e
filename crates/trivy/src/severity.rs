//! Severities and scores.

use std::str::FromStr as _;

use cvss::Cvss;
use serde::{Deserialize, Serialize};

/// As Trivy counts: 0 unknown, 1 low, 2 medium, 3 high, 4 critical.
pub(crate) const NAMES: [&str; 5] = ["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"];

/// Vectors and scores of one source, as Trivy stores them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Scores {
    #[serde(skip_serializing_if = "String::is_empty")]
    v2_vector: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    v3_vector: String,
    #[serde(skip_serializing_if = "String::is_empty", rename = "V40Vector")]
    v4_vector: String,
    #[serde(skip_serializing_if = "is_zero")]
    v2_score: f64,
    #[serde(skip_serializing_if = "is_zero")]
    v3_score: f64,
    #[serde(skip_serializing_if = "is_zero", rename = "V40Score")]
    v4_score: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(score: &f64) -> bool {
    *score == 0.0
}

impl Scores {
    /// Takes a vector; the first one of each version counts. What is no vector is passed over: `false`.
    pub(crate) fn take(&mut self, vector: &str) -> bool {
        let Ok(parsed) = Cvss::from_str(vector) else { return false };
        let score = (parsed.score() * 10.0).round() / 10.0;
        let (place, number) = match parsed {
            Cvss::CvssV20(_) => (&mut self.v2_vector, &mut self.v2_score),
            Cvss::CvssV30(_) | Cvss::CvssV31(_) => (&mut self.v3_vector, &mut self.v3_score),
            _ => (&mut self.v4_vector, &mut self.v4_score),
        };
        if place.is_empty() {
            vector.clone_into(place);
            *number = score;
        }
        true
    }

    /// Takes a score that is given without its vector, unless there is a vector of that version.
    pub(crate) fn take_number(&mut self, version: u8, score: f64) {
        let (vector, number) = match version {
            2 => (&self.v2_vector, &mut self.v2_score),
            3 => (&self.v3_vector, &mut self.v3_score),
            _ => (&self.v4_vector, &mut self.v4_score),
        };
        if vector.is_empty() && (0.0..=10.0).contains(&score) {
            *number = score;
        }
    }

    /// The severity by version 3, else 4, else 2.
    pub(crate) fn severity(&self) -> u8 {
        [self.v3_score, self.v4_score, self.v2_score].into_iter().find(|score| *score > 0.0).map_or(0, of_score)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn of_score(score: f64) -> u8 {
    match score {
        score if score >= 9.0 => 4,
        score if score >= 7.0 => 3,
        score if score >= 4.0 => 2,
        score if score > 0.0 => 1,
        _ => 0,
    }
}

/// The severity that a word names, such as GitHub's `MODERATE`; 0 where it names none.
pub(crate) fn of_word(word: &str) -> u8 {
    match word.to_ascii_uppercase().as_str() {
        "LOW" | "NEGLIGIBLE" => 1,
        "MEDIUM" | "MODERATE" => 2,
        "HIGH" | "IMPORTANT" => 3,
        "CRITICAL" => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Scores, of_word};

    #[test]
    fn vectors_of_each_version_give_the_severity_of_their_score() {
        for (vector, severity) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 4),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 3),
            ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 3),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N", 3),
            ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1),
        ] {
            let mut scores = Scores::default();
            assert!(scores.take(vector), "{vector}");
            assert_eq!(scores.severity(), severity, "{vector} {scores:?}");
        }
        assert!(!Scores::default().take("high"));
        assert_eq!([of_word("MODERATE"), of_word("Important"), of_word("?")], [2, 3, 0]);
    }
}
