//! What a record is put into: an object of its own, and members besides its columns.

use core::mem::MaybeUninit;

use super::out::{Full, Out};
use super::text::{EscapePolicy, push_text_by};

/// What is written in front of and behind each record, made once per writer. A record in an
/// envelope is encoded between [`Envelope::begin`] and [`Envelope::end`].
#[derive(Debug)]
pub struct Envelope {
    /// In front of the record's object.
    prefix: Box<[u8]>,
    /// Members behind the columns, each with a comma in front.
    members: Box<[u8]>,
}

impl Envelope {
    /// Makes the envelope, or `None` if there is neither a tag nor a member. With a tag, an object
    /// holds the record as its only member, whose name is the tag. Members are names and strings;
    /// `escape` says how both are written.
    #[must_use]
    pub fn new<'a>(
        tag: Option<&[u8]>,
        members: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        escape: EscapePolicy,
    ) -> Option<Self> {
        let json = |text| json(text, escape);
        let prefix = tag.map(|tag| [b"{", &*json(tag), b":"].concat()).unwrap_or_default();
        let members: Vec<u8> =
            members.into_iter().flat_map(|(name, value)| [b",", &*json(name), b":", &*json(value)].concat()).collect();
        (!prefix.is_empty() || !members.is_empty()).then(|| Self { prefix: prefix.into(), members: members.into() })
    }

    /// Begins a record in `memory`; its columns come next.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn begin<'a>(&self, memory: &'a mut [MaybeUninit<u8>]) -> Result<Out<'a>, Full> {
        Out::behind(memory, &self.prefix)
    }

    /// Ends a record, an object that `out` holds, and returns the length of all that was written
    /// since [`Envelope::begin`].
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn end(&self, out: &mut Out<'_>) -> Result<usize, Full> {
        if let [_, first @ ..] = &*self.members {
            // An object ends with the brace that is taken back.
            out.truncate(out.len() - 1);
            let members = if out.len() == 1 { first } else { &self.members };
            out.append(members)?;
            out.append(b"}")?;
        }
        if !self.prefix.is_empty() {
            out.append(b"}")?;
        }
        Ok(self.prefix.len() + out.len())
    }
}

/// Returns text in its JSON form.
fn json(text: &[u8], escape: EscapePolicy) -> Vec<u8> {
    let mut room = 64;
    loop {
        let mut json = vec![MaybeUninit::uninit(); room];
        let mut out = Out::new(&mut json);
        match push_text_by(escape, &mut out, text) {
            Ok(()) => return out.written().to_vec(),
            Err(Full) => room *= 2,
        }
    }
}
