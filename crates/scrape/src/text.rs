//! The lexer of the classic text format, versions 0.0.4 and 1.0.0 (Prometheus `model/textparse/promlex.l`).
//!
//! Spaces and tabs may stand between all tokens; a line break is added after the last line.

use crate::lexer::{Cursor, Quoted, State, Token};

/// Reads the next token.
pub(crate) fn lex(cursor: &mut Cursor<'_>) -> Token {
    // A metadata text keeps the space before it.
    if cursor.state != State::MetaText {
        cursor.take_while(is_blank);
    }
    cursor.start = cursor.at;
    let Some(byte) = cursor.peek() else { return Token::Eof };
    match (cursor.state, byte) {
        (State::Init | State::Timestamp, b'\n') => cursor.one(Token::Linebreak, State::Init),
        (State::Init, b'#') => comment(cursor),
        (State::Init | State::Value, b'{') => cursor.one(Token::BraceOpen, State::Labels),
        (State::Init, _) => cursor.name(Token::MetricName, State::Value),
        (State::MetaName, b'"') => cursor.quoted(Quoted::AnyLines, Token::MetricName, State::MetaText),
        (State::MetaName, _) => cursor.name(Token::MetricName, State::MetaText),
        (State::MetaText, _) => {
            cursor.skip_line();
            cursor.state = State::Init;
            Token::Text
        }
        (State::Labels, b'"') => cursor.quoted(Quoted::AnyLines, Token::QuotedString, State::Labels),
        (State::Labels, b'}') => cursor.one(Token::BraceClose, State::Value),
        (State::Labels, b'=') => cursor.one(Token::Equal, State::LabelValue),
        (State::Labels, b',') => cursor.one(Token::Comma, State::Labels),
        (State::Labels, _) => cursor.name(Token::LabelName, State::Labels),
        (State::LabelValue, _) => cursor.quoted(Quoted::AnyLines, Token::LabelValue, State::Labels),
        (State::Value, _) => value(cursor),
        (State::Timestamp, _) => timestamp(cursor),
        (State::Exemplar | State::ExemplarValue | State::ExemplarTimestamp, _) => Token::Invalid,
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Reads a number sign and what follows: metadata only with a blank between, everything else is for people.
fn comment(cursor: &mut Cursor<'_>) -> Token {
    cursor.at += 1;
    let blanks = cursor.take_while(is_blank);
    for (word, token) in [(&b"HELP"[..], Token::Help), (b"TYPE", Token::Type)] {
        let after = cursor.rest().strip_prefix(word).and_then(<[u8]>::first);
        if blanks > 0 && after.copied().is_some_and(is_blank) {
            cursor.at += word.len();
            cursor.take_while(is_blank);
            cursor.state = State::MetaName;
            return token;
        }
    }
    cursor.skip_line();
    Token::Comment
}

fn value(cursor: &mut Cursor<'_>) -> Token {
    match cursor.take_while(|b| !matches!(b, b'{' | b' ' | b'\t' | b'\n' | 0)) {
        0 => Token::Invalid,
        _ => {
            cursor.state = State::Timestamp;
            Token::Value
        }
    }
}

fn timestamp(cursor: &mut Cursor<'_>) -> Token {
    if cursor.peek() == Some(b'-') {
        cursor.at += 1;
    }
    match cursor.take_while(|b| b.is_ascii_digit()) {
        0 => Token::Invalid,
        _ => Token::Timestamp,
    }
}
