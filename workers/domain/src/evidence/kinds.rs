//! What a file is, by its first bytes. Names and declared types are the sender's claims and are not asked.
//!
//! It is never a reason to refuse evidence: a program that somebody was sent is evidence, too. It is why a browser is
//! not asked to show it.

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub media_type: &'static str,
    /// It can do something when it is opened.
    pub active: bool,
}

/// Of bytes that say nothing: text, or just bytes.
pub(super) fn sniff(beginning: &[u8]) -> Kind {
    if let Some((_, _, media_type, active)) =
        KNOWN.iter().find(|(at, magic, ..)| beginning.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
    {
        return container(beginning, media_type).unwrap_or(Kind { media_type, active: *active });
    }
    match std::str::from_utf8(beginning) {
        Ok(text) => of_text(text),
        // A letter that was cut in two at the end of what we look at.
        Err(error) if error.error_len().is_none() => {
            of_text(std::str::from_utf8(&beginning[..error.valid_up_to()]).unwrap_or_default())
        }
        Err(_) => passive("application/octet-stream"),
    }
}

/// Formats that look alike from outside.
fn container(beginning: &[u8], media_type: &str) -> Option<Kind> {
    let holds = |text: &str| beginning.windows(text.len()).any(|window| window == text.as_bytes());
    match media_type {
        "application/zip" if holds("vbaProject.bin") => Some(active("application/zip")),
        "application/zip" if holds("word/") => {
            Some(passive("application/vnd.openxmlformats-officedocument.wordprocessingml.document"))
        }
        "application/zip" if holds("xl/") => {
            Some(passive("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))
        }
        "application/zip" if holds("mimetypeapplication/vnd.oasis.opendocument.text") => {
            Some(passive("application/vnd.oasis.opendocument.text"))
        }
        "application/pdf" if holds("/JavaScript") || holds("/Launch") => Some(active("application/pdf")),
        "video/mp4" => match beginning.get(8..12)? {
            b"M4A " | b"M4B " => Some(passive("audio/mp4")),
            b"qt  " => Some(passive("video/quicktime")),
            b"heic" | b"heix" | b"mif1" => Some(passive("image/heic")),
            b"avif" => Some(passive("image/avif")),
            _ => None,
        },
        "application/x-riff" => match beginning.get(8..12)? {
            b"WAVE" => Some(passive("audio/wav")),
            b"WEBP" => Some(passive("image/webp")),
            b"AVI " => Some(passive("video/x-msvideo")),
            _ => None,
        },
        _ => None,
    }
}

fn of_text(text: &str) -> Kind {
    if text.contains('\0') || text.is_empty() {
        return passive("application/octet-stream");
    }
    let begins = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let page = ["<!doctype html", "<html", "<script", "<head", "<body", "<iframe"];
    if page.iter().any(|tag| begins.starts_with(tag)) {
        return active("text/html");
    }
    if begins.starts_with("#!") {
        return active("text/x-script");
    }
    if begins.starts_with("<svg") || (begins.starts_with("<?xml") && begins.contains("<svg")) {
        return active("image/svg+xml");
    }
    let mail = ["from: ", "received: ", "return-path: ", "delivered-to: ", "message-id: "];
    if mail.iter().any(|header| begins.starts_with(header)) {
        return passive("message/rfc822");
    }
    passive("text/plain")
}

const fn passive(media_type: &'static str) -> Kind {
    Kind { media_type, active: false }
}

const fn active(media_type: &'static str) -> Kind {
    Kind { media_type, active: true }
}

/// Where the bytes are, which, what it is then, and whether it is active.
const KNOWN: &[(usize, &[u8], &str, bool)] = &[
    (0, b"\xff\xd8\xff", "image/jpeg", false),
    (0, b"\x89PNG\r\n\x1a\n", "image/png", false),
    (0, b"GIF87a", "image/gif", false),
    (0, b"GIF89a", "image/gif", false),
    (0, b"II*\0", "image/tiff", false),
    (0, b"MM\0*", "image/tiff", false),
    (0, b"%PDF-", "application/pdf", false),
    (0, b"PK\x03\x04", "application/zip", false),
    (0, b"{\\rtf", "application/rtf", false),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", true),
    (0, b"RIFF", "application/x-riff", false),
    (0, b"OggS", "audio/ogg", false),
    (0, b"fLaC", "audio/flac", false),
    (0, b"ID3", "audio/mpeg", false),
    (0, b"\xff\xfb", "audio/mpeg", false),
    (4, b"ftyp", "video/mp4", false),
    (0, b"\x1a\x45\xdf\xa3", "video/webm", false),
    (0, b"\x1f\x8b", "application/gzip", false),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", false),
    (0, b"Rar!\x1a\x07", "application/vnd.rar", false),
    (0, b"\x7fELF", "application/x-executable", true),
    (0, b"MZ", "application/vnd.microsoft.portable-executable", true),
    (0, b"\xca\xfe\xba\xbe", "application/x-executable", true),
    (0, b"\xcf\xfa\xed\xfe", "application/x-executable", true),
    (257, b"ustar", "application/x-tar", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_bytes() {
        for (bytes, media_type, active) in [
            (&b"\xff\xd8\xff\xe0 ..."[..], "image/jpeg", false),
            (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav", false),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp", false),
            (b"\0\0\0\x20ftypM4A ", "audio/mp4", false),
            (b"\0\0\0\x20ftypisom", "video/mp4", false),
            (b"%PDF-1.7 plain", "application/pdf", false),
            (b"%PDF-1.7 /OpenAction << /JavaScript", "application/pdf", true),
            (b"PK\x03\x04....word/document.xml", KNOWN_DOCX, false),
            (b"PK\x03\x04....word/vbaProject.bin", "application/zip", true),
            (b"MZ\x90\0", "application/vnd.microsoft.portable-executable", true),
            (b"\xef\xbb\xbf  <!DOCTYPE html><p>", "text/html", true),
            (b"#!/bin/sh", "text/x-script", true),
            (b"From: a@b\r\nTo: c@d", "message/rfc822", false),
            ("Querido se\u{f1}or".as_bytes(), "text/plain", false),
            (&"Querido se\u{f1}".as_bytes()[..11], "text/plain", false),
            (b"a\0b", "application/octet-stream", false),
            (b"\xfe\xfd", "application/octet-stream", false),
            (b"", "application/octet-stream", false),
        ] {
            assert_eq!(sniff(bytes), Kind { media_type, active }, "{}", String::from_utf8_lossy(bytes));
        }
    }

    const KNOWN_DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
}
