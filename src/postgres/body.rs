//! A message of the server, part by part, and whether a value is one of its type. PURE.

/// Why an answer is refused.
pub(super) type Refused = &'static str;

pub(super) const BROKEN: Refused = "the answer of the server is not the protocol of PostgreSQL";

/// What of a message was not read yet.
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), Refused> {
        self.take(count).map(|_| ())
    }

    pub(super) fn u16(&mut self) -> Result<u16, Refused> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Refused> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A text that ends in a zero.
    pub(super) fn text(&mut self) -> Result<(), Refused> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(BROKEN)?;
        self.skip(end + 1)
    }

    /// A value behind its length, which for NULL is negative.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, Refused> {
        match usize::try_from(self.u32()?.cast_signed()) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Whether a binary value has the length that its type has, or the parts that an array has.
pub(super) fn fits(kind: u32, value: &[u8]) -> bool {
    match kind {
        // bool, "char"
        16 | 18 => value.len() == 1,
        // int2
        21 => value.len() == 2,
        // int4, oid, float4, date
        23 | 26 | 700 | 1082 => value.len() == 4,
        // int8, float8, time, timestamp, timestamptz
        20 | 701 | 1083 | 1114 | 1184 => value.len() == 8,
        // uuid
        2950 => value.len() == 16,
        // Arrays of bool, name, int2, int4, text, varchar, int8, oid.
        1000 | 1003 | 1005 | 1007 | 1009 | 1015 | 1016 | 1028 => is_array(value).is_ok(),
        _ => true,
    }
}

fn is_array(value: &[u8]) -> Result<(), Refused> {
    let mut body = Body(value);
    let dimensions = body.u32()?;
    body.skip(4)?;
    let element = body.u32()?;
    if dimensions > 1 {
        // None of Sluice's own queries has such an answer; the driver refuses it without harm.
        return body.skip(usize::try_from(dimensions).unwrap_or(usize::MAX).saturating_mul(8));
    }
    let mut count = 0;
    for _ in 0..dimensions {
        count = body.u32()?;
        body.skip(4)?;
    }
    for _ in 0..count {
        if body.value()?.is_some_and(|value| !fits(element, value)) {
            return Err(BROKEN);
        }
    }
    if body.0.is_empty() { Ok(()) } else { Err(BROKEN) }
}
