//! Turns a fault of the scan into an error that says where it is.

use super::scan::{Fault, FaultKind, Scan};
use super::strings::Decoded;
use crate::CanonError;

/// Longest name shown, in characters.
const NAME_SHOWN: usize = 80;
/// Path steps shown at either end of a long path.
const STEPS_SHOWN: usize = 12;

/// The error for a fault in `text`, which starts at offset `base` of what the caller gave.
pub(super) fn explain(scan: &Scan, text: &[u8], base: usize, fault: &Fault) -> CanonError {
    let offset = (base + fault.at) as u64;
    let found = || text.get(fault.at..).map_or_else(String::new, first_character);
    let path = || path(scan, text, fault.in_container);
    match fault.kind {
        FaultKind::Unexpected(expected) if fault.at >= text.len() => {
            CanonError::UnexpectedEnd { expected, path: path(), offset }
        }
        FaultKind::Unexpected(expected) => CanonError::Unexpected { found: found(), expected, path: path(), offset },
        FaultKind::TooDeep(limit) => CanonError::TooDeep { limit, offset },
        FaultKind::Literal => CanonError::InvalidLiteral { found: word(&text[fault.at..]), path: path(), offset },
        FaultKind::Number(problem) => CanonError::InvalidNumber { problem, path: path(), offset },
        FaultKind::Escape => CanonError::InvalidEscape { path: path(), offset },
        FaultKind::Control(character) => CanonError::ControlCharacter { character, path: path(), offset },
        FaultKind::Duplicate { name_at, name_len } => {
            CanonError::DuplicateKey { key: name(&text[name_at..name_at + name_len]), path: path(), offset }
        }
        FaultKind::Trailing => CanonError::Trailing { found: found(), offset },
    }
}

fn path(scan: &Scan, text: &[u8], in_container: bool) -> String {
    let depth = scan.frames.len();
    let mut path = String::from("$");
    for (level, frame) in scan.frames.iter().enumerate() {
        if level >= STEPS_SHOWN && level + STEPS_SHOWN < depth {
            if level == STEPS_SHOWN {
                path.push_str(".…");
            }
            continue;
        }
        if in_container && level + 1 == depth {
            break;
        }
        if !frame.is_object {
            path.extend(["[", &frame.commas.to_string(), "]"]);
            continue;
        }
        let end = scan.frames.get(level + 1).map_or(scan.open.len(), |inner| inner.first_member as usize);
        // An object without members yet adds no step.
        if end > frame.first_member as usize
            && let Some(member) = scan.open.get(end - 1)
        {
            path.push_str(&step(&name(&text[member.name_at as usize..][..member.name_len as usize])));
        }
    }
    path
}

fn step(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '…'));
    if plain { format!(".{name}") } else { format!("[\"{name}\"]") }
}

/// A name decoded for people: shortened, controls escaped.
fn name(text: &[u8]) -> String {
    // Four bytes a character at most, and one character more to see whether it goes on.
    let bytes: Vec<u8> = Decoded::new(text).take(4 * (NAME_SHOWN + 1)).collect();
    let decoded = String::from_utf8_lossy(&bytes);
    let mut shown: String = decoded.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect();
    if decoded.chars().nth(NAME_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The first character of the text, readable.
fn first_character(text: &[u8]) -> String {
    let (start, _) = text.split_at(text.len().min(4));
    match String::from_utf8_lossy(start).chars().next() {
        Some(c) => format!("`{}`", c.escape_debug()),
        None => "end of input".to_owned(),
    }
}

/// The word at the start of the text, shortened.
fn word(text: &[u8]) -> String {
    text.iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .take(20)
        .map(|byte| char::from(*byte))
        .collect()
}
