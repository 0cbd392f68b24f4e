//! The one pass over the text: grammar, white space, and which objects are out of order.
//!
//! Positions in members and nodes count in the compacted text (white space left out); positions of names and faults count in
//! the text given. All fit in 32 bits because the caller refuses longer inputs.

use std::cmp::Ordering;

use super::scalars::{literal, number};
use super::strings::{self, Decoded, StringFault};

/// An open object or array.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) is_object: bool,
    /// Members seen so far came in ascending order.
    in_order: bool,
    start: u32,
    /// Where the members of this object begin in [`Scan::open`].
    pub(super) first_member: u32,
    /// How many nodes there were when it opened.
    first_node: u32,
    /// Commas seen, so the index of the current element.
    pub(super) commas: u32,
}

/// A member of an object that is still open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// First eight decoded bytes of the name, big-endian, filled with zeros: compares as the name does, but for ties.
    prefix: u64,
    /// Where the name's text starts, after its quote.
    pub(super) name_at: u32,
    pub(super) name_len: u32,
    escaped: bool,
    start: u32,
    end: u32,
    nodes: (u32, u32),
}

/// A member of an object that must be rebuilt: its slice, and the nodes inside that slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) nodes: (u32, u32),
}

/// An object that must be rebuilt. Nodes are kept in the order in which they closed: the nodes inside node `i` are those from
/// `inner_from` up to `i`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) inner_from: u32,
    /// Its members in [`Scan::placed`], sorted.
    pub(super) members: (u32, u32),
}

/// What is wrong, and where in the text given.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) kind: FaultKind,
    /// The fault lies in the innermost open container itself, not in its current member or element.
    pub(super) in_container: bool,
}

#[derive(Debug)]
pub(super) enum FaultKind {
    Unexpected(&'static str),
    TooDeep(usize),
    Literal,
    Number(&'static str),
    Escape,
    Control(u8),
    Duplicate { name_at: usize, name_len: usize },
    Trailing,
}

/// Working memory and result of a pass.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) frames: Vec<Frame>,
    pub(super) open: Vec<Member>,
    pub(super) placed: Vec<Placed>,
    pub(super) nodes: Vec<Node>,
    /// Members with equal names are kept, in the order in which they came.
    pub(super) keep_duplicates: bool,
    compacted: Vec<u8>,
    /// Bytes of white space left out so far.
    removed: usize,
    /// How much of the text is in `compacted`, or was left out.
    flushed: usize,
}

impl Scan {
    /// No object has to be rebuilt.
    pub(super) fn is_in_order(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The text held no white space outside strings.
    pub(super) fn is_compact(&self) -> bool {
        self.removed == 0
    }

    /// The text without white space, if there was any.
    pub(super) fn compacted(&self) -> Option<&[u8]> {
        (self.removed > 0).then_some(&self.compacted)
    }

    pub(super) fn take_compacted(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.compacted)
    }

    /// Checks the whole text, which has no white space at either end and is UTF-8.
    pub(super) fn run(&mut self, text: &[u8], max_depth: usize) -> Result<(), Fault> {
        self.frames.clear();
        self.open.clear();
        self.placed.clear();
        self.nodes.clear();
        self.compacted.clear();
        (self.removed, self.flushed) = (0, 0);

        let mut at = 0;
        loop {
            // A value is expected.
            at = self.skip_space(text, at);
            match text.get(at) {
                Some(b'"') => at = string(text, at + 1, false)?.0 + 1,
                Some(b'{') => {
                    self.open_container(true, at, max_depth)?;
                    at = self.skip_space(text, at + 1);
                    if text.get(at) != Some(&b'}') {
                        at = self.name(text, at)?;
                        continue;
                    }
                    self.frames.pop();
                    at += 1;
                }
                Some(b'[') => {
                    self.open_container(false, at, max_depth)?;
                    at = self.skip_space(text, at + 1);
                    if text.get(at) != Some(&b']') {
                        continue;
                    }
                    self.frames.pop();
                    at += 1;
                }
                Some(b'-' | b'0'..=b'9') => at = number(text, at)?,
                Some(b't') => at = literal(text, at, b"true")?,
                Some(b'f') => at = literal(text, at, b"false")?,
                Some(b'n') => at = literal(text, at, b"null")?,
                Some(byte) if byte.is_ascii_alphabetic() => {
                    return Err(fault(at, FaultKind::Literal));
                }
                _ => return Err(fault(at, FaultKind::Unexpected("a value"))),
            }
            // A value has ended at `at`; close what closes with it.
            loop {
                let Some(frame) = self.frames.last_mut() else {
                    return self.finish(text, at);
                };
                let is_object = frame.is_object;
                at = self.skip_space(text, at);
                match (text.get(at), is_object) {
                    (Some(b','), true) => {
                        at = self.skip_space(text, at + 1);
                        at = self.name(text, at)?;
                        break;
                    }
                    (Some(b','), false) => {
                        if let Some(frame) = self.frames.last_mut() {
                            frame.commas += 1;
                        }
                        at += 1;
                        break;
                    }
                    (Some(b'}'), true) => {
                        at += 1;
                        self.close_object(text, at)?;
                    }
                    (Some(b']'), false) => {
                        at += 1;
                        self.frames.pop();
                    }
                    (_, true) => return Err(fault(at, FaultKind::Unexpected("`,` or `}`"))),
                    (_, false) => return Err(fault(at, FaultKind::Unexpected("`,` or `]`"))),
                }
            }
        }
    }

    fn finish(&mut self, text: &[u8], at: usize) -> Result<(), Fault> {
        let at = self.skip_space(text, at);
        if at < text.len() {
            return Err(fault(at, FaultKind::Trailing));
        }
        if self.removed > 0 {
            self.compacted.extend_from_slice(&text[self.flushed..]);
        }
        Ok(())
    }

    /// Offset of the next byte that is not white space; the run skipped is left out of the compacted text.
    #[inline]
    fn skip_space(&mut self, text: &[u8], at: usize) -> usize {
        match text.get(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r') => self.skip_run(text, at),
            _ => at,
        }
    }

    fn skip_run(&mut self, text: &[u8], at: usize) -> usize {
        const BLANKS: [u8; 8] = [b' '; 8];
        let mut end = at + 1;
        loop {
            match text.get(end) {
                Some(b' ') if text[end..].starts_with(&BLANKS) => end += BLANKS.len(),
                Some(b' ' | b'\t' | b'\n' | b'\r') => end += 1,
                _ => break,
            }
        }
        self.compacted.extend_from_slice(&text[self.flushed..at]);
        self.flushed = end;
        self.removed += end - at;
        end
    }

    /// Position in the compacted text. Inputs of 4 GiB and more never get here.
    #[expect(clippy::cast_possible_truncation, reason = "the caller refuses inputs past u32::MAX bytes")]
    #[inline]
    fn place(&self, at: usize) -> u32 {
        (at - self.removed) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "fewer members and nodes than bytes of text")]
    fn open_container(&mut self, is_object: bool, at: usize, max_depth: usize) -> Result<(), Fault> {
        if self.frames.len() >= max_depth {
            return Err(fault(at, FaultKind::TooDeep(max_depth)));
        }
        self.frames.push(Frame {
            is_object,
            in_order: true,
            start: self.place(at),
            first_member: self.open.len() as u32,
            first_node: self.nodes.len() as u32,
            commas: 0,
        });
        Ok(())
    }

    /// Reads a member's name and colon at `at` and gives the offset after the colon.
    #[expect(clippy::cast_possible_truncation, reason = "offsets are below u32::MAX")]
    #[inline]
    fn name(&mut self, text: &[u8], at: usize) -> Result<usize, Fault> {
        if text.get(at) != Some(&b'"') {
            return Err(fault_in_container(at, FaultKind::Unexpected("a member name in double quotes")));
        }
        let (end, escaped) = string(text, at + 1, true)?;
        let name_at = at + 1;
        let name_len = end - name_at;
        let member = Member {
            prefix: if escaped { decoded_prefix(&text[name_at..end]) } else { prefix(text, name_at, name_len) },
            name_at: name_at as u32,
            name_len: name_len as u32,
            escaped,
            start: self.place(at),
            end: 0,
            nodes: (self.nodes.len() as u32, 0),
        };
        if let Some(frame) = self.frames.last_mut()
            && frame.in_order
            && self.open.len() > frame.first_member as usize
            && let Some(before) = self.open.last()
        {
            match by_name(text, before, &member) {
                Ordering::Less => {}
                Ordering::Greater => frame.in_order = false,
                Ordering::Equal if self.keep_duplicates => {}
                Ordering::Equal => return Err(duplicate(&member)),
            }
        }
        self.open.push(member);
        let colon = self.skip_space(text, end + 1);
        if text.get(colon) != Some(&b':') {
            return Err(fault(colon, FaultKind::Unexpected("`:`")));
        }
        Ok(colon + 1)
    }

    /// Closes the innermost object, whose brace is the byte before `end`.
    #[inline]
    fn close_object(&mut self, text: &[u8], end: usize) -> Result<(), Fault> {
        if let Some(frame) = self.frames.last() {
            if frame.in_order {
                self.open.truncate(frame.first_member as usize);
            } else {
                self.record_node(text, end)?;
            }
        }
        self.frames.pop();
        Ok(())
    }

    /// Sorts the members of the innermost object and records it for rebuilding.
    #[expect(clippy::cast_possible_truncation, reason = "fewer members and nodes than bytes of text")]
    fn record_node(&mut self, text: &[u8], end: usize) -> Result<(), Fault> {
        let end = self.place(end);
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        let first = frame.first_member as usize;
        let members = &mut self.open[first..];
        // In compact text exactly one byte, a comma or the brace, stands between a member's end and what follows.
        let mut following = (end - 1, self.nodes.len() as u32);
        for member in members.iter_mut().rev() {
            (member.end, member.nodes.1) = following;
            following = (member.start - 1, member.nodes.0);
        }
        members.sort_unstable_by(|a, b| by_name(text, a, b).then(a.name_at.cmp(&b.name_at)));
        if !self.keep_duplicates {
            let second_of_two = members.windows(2).filter_map(|pair| match pair {
                [a, b] if by_name(text, a, b) == Ordering::Equal => Some(b),
                _ => None,
            });
            if let Some(member) = second_of_two.min_by_key(|member| member.name_at) {
                return Err(duplicate(member));
            }
        }
        let first_placed = self.placed.len() as u32;
        self.placed.extend(members.iter().map(|member| Placed {
            start: member.start,
            end: member.end,
            nodes: member.nodes,
        }));
        self.nodes.push(Node {
            start: frame.start,
            end,
            inner_from: frame.first_node,
            members: (first_placed, self.placed.len() as u32),
        });
        self.open.truncate(first);
        Ok(())
    }
}

pub(super) fn fault(at: usize, kind: FaultKind) -> Fault {
    Fault { at, kind, in_container: false }
}

fn fault_in_container(at: usize, kind: FaultKind) -> Fault {
    Fault { at, kind, in_container: true }
}

fn duplicate(member: &Member) -> Fault {
    let (name_at, name_len) = (member.name_at as usize, member.name_len as usize);
    fault_in_container(name_at - 1, FaultKind::Duplicate { name_at, name_len })
}

#[inline]
fn string(text: &[u8], at: usize, is_name: bool) -> Result<(usize, bool), Fault> {
    strings::closing_quote(text, at).map_err(|fault| {
        let (at, kind) = match fault {
            StringFault::Unterminated => (text.len(), FaultKind::Unexpected("the closing quote of a string")),
            StringFault::Control(at, byte) => (at, FaultKind::Control(byte)),
            StringFault::Escape(at) => (at, FaultKind::Escape),
        };
        Fault { at, kind, in_container: is_name }
    })
}

/// The first eight bytes of a name without escapes.
#[inline]
fn prefix(text: &[u8], at: usize, len: usize) -> u64 {
    match text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(bytes) if len >= 8 => u64::from_be_bytes(*bytes),
        Some(_) if len == 0 => 0,
        Some(bytes) => u64::from_be_bytes(*bytes) & (u64::MAX << (64 - 8 * len)),
        None => decoded_prefix(&text[at..at + len]),
    }
}

fn decoded_prefix(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (place, byte) in bytes.iter_mut().zip(Decoded::new(name)) {
        *place = byte;
    }
    u64::from_be_bytes(bytes)
}

/// Order of two names by decoded bytes.
#[inline]
fn by_name(text: &[u8], a: &Member, b: &Member) -> Ordering {
    a.prefix.cmp(&b.prefix).then_with(|| {
        let name = |member: &Member| &text[member.name_at as usize..][..member.name_len as usize];
        if a.escaped || b.escaped { Decoded::new(name(a)).cmp(Decoded::new(name(b))) } else { name(a).cmp(name(b)) }
    })
}
