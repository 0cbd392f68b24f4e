//! Writes the text with its out-of-order objects rebuilt.

use super::scan::{Node, Placed, Scan};

/// What is still to be written, the next one on top of the stack.
#[derive(Clone, Copy)]
enum Todo {
    /// A slice of the text in which everything is in order.
    Copy(u32, u32),
    /// The members of a node from the given one on, and its closing brace.
    Members(u32, u32),
}

/// Appends the canonical form of the compact `text` that was scanned.
pub(super) fn rebuild(scan: &Scan, text: &[u8], out: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "texts and node lists are shorter than u32::MAX")]
    let whole = Placed { start: 0, end: text.len() as u32, nodes: (0, scan.nodes.len() as u32) };
    out.reserve(text.len());
    let mut stack = Vec::new();
    push_slice(scan, whole, &mut stack);
    while let Some(todo) = stack.pop() {
        match todo {
            Todo::Copy(start, end) => out.extend_from_slice(&text[start as usize..end as usize]),
            Todo::Members(node, from) => write_members(scan, text, node, from, &mut stack, out),
        }
    }
}

/// Writes members until one holds nodes of its own; that one goes on the stack, and the rest below it.
fn write_members(scan: &Scan, text: &[u8], node: u32, from: u32, stack: &mut Vec<Todo>, out: &mut Vec<u8>) {
    let Node { members: (first, end), .. } = scan.nodes[node as usize];
    for index in from..end {
        let member = scan.placed[index as usize];
        out.push(if index == first { b'{' } else { b',' });
        if member.nodes.0 < member.nodes.1 {
            stack.push(Todo::Members(node, index + 1));
            push_slice(scan, member, stack);
            return;
        }
        out.extend_from_slice(&text[member.start as usize..member.end as usize]);
    }
    out.push(b'}');
}

/// Puts a slice and the outermost nodes in it on the stack, last things first. The nodes are in closing order, so the last
/// one is an outermost one, and the one before its first inner node is the next.
fn push_slice(scan: &Scan, slice: Placed, stack: &mut Vec<Todo>) {
    let (first_node, mut after) = slice.nodes;
    let mut end = slice.end;
    while after > first_node {
        let index = after - 1;
        let node = scan.nodes[index as usize];
        if node.end < end {
            stack.push(Todo::Copy(node.end, end));
        }
        stack.push(Todo::Members(index, node.members.0));
        (end, after) = (node.start, node.inner_from);
    }
    if slice.start < end {
        stack.push(Todo::Copy(slice.start, end));
    }
}
