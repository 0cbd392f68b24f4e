//! Differences in words.

use std::fmt::Write as _;

use super::{Differences, Flip};
use crate::output;

/// Records of a kind that are named in a text; JSON names more.
const SHOWN: usize = 50;

/// For a terminal.
pub(crate) fn table(differences: &Differences) -> String {
    if !differences.any() {
        return "nothing differs".to_owned();
    }
    let mut text = output::facts(&counts(differences));
    for (title, lines) in sections(differences) {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n\n{title}\n  {}", lines.join("\n  "));
    }
    text
}

/// For a page.
pub(crate) fn markdown(differences: &Differences) -> String {
    let mut text = "# What changed\n\n".to_owned();
    if !differences.any() {
        return text + "Nothing differs.";
    }
    for (name, count) in counts(differences) {
        let _written = writeln!(text, "* {name}: {count}");
    }
    for (title, lines) in sections(differences) {
        let _written = write!(text, "\n## {title}\n\n");
        for line in lines {
            // What came from a bundle is no mark-up.
            let _written = writeln!(text, "* `{}`", line.replace('`', "'"));
        }
    }
    text
}

fn counts(differences: &Differences) -> Vec<(&'static str, String)> {
    vec![
        ("added", differences.added.count.to_string()),
        ("changed", differences.changed.count.to_string()),
        ("withdrawn", differences.withdrawn.count.to_string()),
        ("severities", differences.severities.len().to_string()),
        ("statuses", differences.statuses.len().to_string()),
        ("other files", differences.files.len().to_string()),
    ]
}

/// What there is to name, each kind with its first entries.
fn sections(differences: &Differences) -> Vec<(&'static str, Vec<String>)> {
    let flips = |flips: &[Flip]| {
        flips
            .iter()
            .map(|flip| format!("{} ({}): {} -> {}", flip.record, flip.of, flip.from, flip.to))
            .collect::<Vec<_>>()
    };
    let all = [
        ("Added", differences.added.records.clone()),
        ("Changed", differences.changed.records.clone()),
        ("Withdrawn", differences.withdrawn.records.clone()),
        ("Severities", flips(&differences.severities)),
        ("Statuses", flips(&differences.statuses)),
        ("Other files", differences.files.clone()),
    ];
    let shortened = |lines: Vec<String>| {
        let more = lines.len().saturating_sub(SHOWN);
        let mut lines: Vec<String> = lines.into_iter().take(SHOWN).map(|line| shown(&line)).collect();
        if more > 0 {
            lines.push(format!("and {more} more; -o json names them"));
        }
        lines
    };
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| (title, shortened(lines))).collect()
}

/// A text of a bundle as it may be printed: controls escaped.
fn shown(text: &str) -> String {
    text.chars()
        .take(300)
        .flat_map(|c| if c.is_control() { c.escape_debug().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
