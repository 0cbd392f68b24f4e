//! One document per line (<https://jsonlines.org>), every line ended by one line feed.

use std::io::{self, BufRead};

/// A file of lines could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonlError {
    /// A line exceeds the cap. The reader has skipped it: the next call gives the next line.
    #[error("line {line} is longer than the limit of {limit} bytes")]
    LineTooLong {
        /// Line number, from 1.
        line: u64,
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The source failed.
    #[error("cannot read line {line}")]
    Read {
        /// Line number, from 1.
        line: u64,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The document holds a line feed and would become two lines.
    #[error("document holds a line feed at byte {offset}, so it does not fit on one line")]
    LineFeedInDocument {
        /// Where the first line feed stands.
        offset: usize,
    },
}

/// Appends a document and its line feed, and gives the bytes appended.
pub fn write_line(document: &[u8], out: &mut Vec<u8>) -> Result<usize, JsonlError> {
    if let Some(offset) = memchr::memchr(b'\n', document) {
        return Err(JsonlError::LineFeedInDocument { offset });
    }
    out.reserve(document.len() + 1);
    out.extend_from_slice(document);
    out.push(b'\n');
    Ok(document.len() + 1)
}

/// A line without its line feed. A carriage return before the line feed is kept; it is white space to JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Line number, from 1.
    pub number: u64,
    /// The text; empty for a blank line.
    pub bytes: &'a [u8],
}

/// Reads lines of bounded length. At most about twice the cap is held in memory, whatever the input holds.
#[derive(Debug)]
pub struct LineReader<R> {
    inner: R,
    limit: usize,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> LineReader<R> {
    /// Reads lines of at most `limit` bytes, the line feed not counted.
    pub fn new(inner: R, limit: usize) -> Self {
        Self { inner, limit, line: 0, buffer: Vec::new() }
    }

    /// The next line, or `None` at the end. A last line without line feed counts as a line.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, JsonlError> {
        let line = self.line + 1;
        self.buffer.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let available = match self.inner.fill_buf() {
                Ok(available) => available,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(JsonlError::Read { line, cause }),
            };
            if available.is_empty() {
                break;
            }
            any = true;
            let feed = memchr::memchr(b'\n', available);
            let (text, _) = available.split_at(feed.unwrap_or(available.len()));
            let used = text.len() + usize::from(feed.is_some());
            too_long |= text.len() > self.limit - self.buffer.len();
            if !too_long {
                self.buffer.extend_from_slice(text);
            }
            self.inner.consume(used);
            if feed.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.line = line;
        if too_long {
            return Err(JsonlError::LineTooLong { line, limit: self.limit });
        }
        Ok(Some(Line { number: line, bytes: &self.buffer }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(input: &[u8], limit: usize, buffer: usize) -> Vec<Result<(u64, Vec<u8>), String>> {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, input), limit);
        let mut lines = Vec::new();
        loop {
            match reader.next_line() {
                Ok(Some(line)) => lines.push(Ok((line.number, line.bytes.to_vec()))),
                Ok(None) => return lines,
                Err(error) => lines.push(Err(error.to_string())),
            }
        }
    }

    #[test]
    fn lines_are_numbered_whatever_the_buffer_size() {
        for buffer in [1, 2, 3, 64] {
            let got = lines(b"{}\n\n[1]\r\n2", 4, buffer);
            let expected =
                vec![Ok((1, b"{}".to_vec())), Ok((2, vec![])), Ok((3, b"[1]\r".to_vec())), Ok((4, b"2".to_vec()))];
            assert_eq!(got, expected, "buffer {buffer}");
        }
        assert_eq!(lines(b"", 4, 8), vec![]);
    }

    #[test]
    fn long_line_is_named_and_the_next_one_still_read() {
        for buffer in [1, 3, 64] {
            let got = lines(b"1234\n12345\n1\n99999", 4, buffer);
            let too_long = |line| Err(format!("line {line} is longer than the limit of 4 bytes"));
            assert_eq!(
                got,
                vec![Ok((1, b"1234".to_vec())), too_long(2), Ok((3, b"1".to_vec())), too_long(4)],
                "buffer {buffer}"
            );
        }
    }

    #[test]
    fn written_lines_come_back_and_a_line_feed_inside_is_refused() {
        let mut out = Vec::new();
        assert_eq!(write_line(b"{\"a\":1}", &mut out).unwrap(), 8);
        assert_eq!(out, b"{\"a\":1}\n");
        let refused = write_line(b"{\n}", &mut out).unwrap_err();
        assert_eq!(refused.to_string(), "document holds a line feed at byte 1, so it does not fit on one line");
        assert_eq!(out.len(), 8);
    }
}
