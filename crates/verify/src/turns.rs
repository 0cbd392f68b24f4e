//! Which file of the tar comes next.

use std::iter::Peekable;
use std::vec::IntoIter;

use export_contract::manifest::{ManifestContent, PATH};

use crate::archive::Wanted;
use crate::container::ExportJson;
use crate::error::{VerifyError, shown};
use crate::sealed::Form;

/// A file that the tar must hold.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    Content(&'a ManifestContent),
    ExportJson(&'a ExportJson),
}

impl<'a> What<'a> {
    /// Its path in `export.json`.
    pub(crate) fn path(&self) -> &'a str {
        match self {
            Self::Content(content) => &content.path,
            Self::ExportJson(_) => PATH,
        }
    }

    /// Its plain bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Content(content) => content.bytes,
            Self::ExportJson(export_json) => export_json.bytes.len() as u64,
        }
    }
}

/// A file, and its name in the tar.
pub(crate) struct Expected<'a> {
    name: String,
    pub(crate) what: What<'a>,
    /// Whether it is encrypted under this name.
    pub(crate) sealed: bool,
}

/// The files in the order of their names. Where some are encrypted there are two such rows, one for the bundle as it was made and one for
/// what decryption leaves of it; the first name that tells them apart decides, and from then on only that row counts.
pub(crate) struct Turns<'a> {
    plain: Peekable<IntoIter<Expected<'a>>>,
    sealed: Peekable<IntoIter<Expected<'a>>>,
    form: Option<Form>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(wanted: &Wanted<'a>) -> Self {
        let row = |name: &dyn Fn(&str) -> String| {
            let contents = wanted.manifest.contents.iter().map(What::Content);
            let all = contents.chain([What::ExportJson(wanted.export_json)]).map(|what| {
                let name = name(what.path());
                Expected { sealed: name != what.path(), name, what }
            });
            let mut all: Vec<Expected<'a>> = all.collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all.into_iter().peekable()
        };
        let plain = row(&|path| path.to_owned());
        match wanted.unsealing {
            None => Self { plain, sealed: Vec::new().into_iter().peekable(), form: Some(Form::Plain) },
            Some(unsealing) => Self { plain, sealed: row(&|path| unsealing.stored(path)), form: None },
        }
    }

    /// The file of this name, if it is its turn.
    pub(crate) fn next(&mut self, name: &str) -> Result<Expected<'a>, VerifyError> {
        if self.form.is_none() {
            let next = |row: &mut Peekable<IntoIter<Expected<'a>>>| row.peek().map(|expected| expected.name.clone());
            let (plain, sealed) = (next(&mut self.plain), next(&mut self.sealed));
            if plain != sealed {
                let decrypted = plain.as_deref() == Some(name);
                self.form = Some(if decrypted { Form::Decrypted } else { Form::Sealed });
            }
        }
        let (plain, sealed) = match self.form {
            Some(Form::Plain | Form::Decrypted) => return in_turn(self.plain.next(), name),
            Some(Form::Sealed) => return in_turn(self.sealed.next(), name),
            None => (self.plain.next(), self.sealed.next()),
        };
        drop(plain);
        in_turn(sealed, name)
    }

    /// The name of a file that did not come.
    pub(crate) fn missing(&mut self) -> Option<String> {
        let row = if self.form() == Form::Sealed { &mut self.sealed } else { &mut self.plain };
        row.next().map(|expected| expected.name)
    }

    /// In which form the files are; encrypted where nothing tells it apart.
    pub(crate) fn form(&self) -> Form {
        self.form.unwrap_or(Form::Sealed)
    }
}

/// Row and tar are in ascending order, so the first difference tells which of the two has a file too many.
fn in_turn<'a>(expected: Option<Expected<'a>>, name: &str) -> Result<Expected<'a>, VerifyError> {
    match expected {
        Some(expected) if expected.name == name => Ok(expected),
        Some(expected) if expected.name.as_str() < name => Err(VerifyError::FileMissing(shown(&expected.name))),
        _ => Err(VerifyError::rule(name, "it is in the bundle, but export.json does not list it")),
    }
}
