//! The lexer of OpenMetrics 0.0.1 and 1.0.0 (Prometheus `model/textparse/openmetricslex.l`).
//!
//! One space stands before values and nowhere else, and belongs to the token after it.

use crate::lexer::{Cursor, Quoted, State, Token};

/// Reads the next token.
pub(crate) fn lex(cursor: &mut Cursor<'_>) -> Token {
    // At the end the last token stays the one that messages show.
    let Some(byte) = cursor.peek() else { return Token::Eof };
    cursor.start = cursor.at;
    match (cursor.state, byte) {
        (State::Init, b'#') => comment(cursor),
        (State::Init | State::Value, b'{') => cursor.one(Token::BraceOpen, State::Labels),
        (State::Init, _) => cursor.name(Token::MetricName, State::Value),
        (State::MetaName, b'"') => cursor.quoted(Quoted::OneLine, Token::MetricName, State::MetaText),
        (State::MetaName, _) => cursor.name(Token::MetricName, State::MetaText),
        (State::MetaText, _) => meta_text(cursor),
        (State::Labels | State::Exemplar, b'"') => {
            cursor.quoted(Quoted::OneLine, Token::QuotedString, cursor.state)
        }
        (State::Labels, b'}') => cursor.one(Token::BraceClose, State::Value),
        (State::Labels, b'=') => cursor.one(Token::Equal, State::LabelValue),
        (State::Exemplar, b'}') => cursor.one(Token::BraceClose, State::ExemplarValue),
        (State::Exemplar, b'=') => cursor.one(Token::Equal, State::ExemplarValue),
        (State::Labels | State::Exemplar, b',') => cursor.one(Token::Comma, cursor.state),
        (State::Labels | State::Exemplar, _) => cursor.name(Token::LabelName, cursor.state),
        (State::LabelValue, _) => cursor.quoted(Quoted::OneLine, Token::LabelValue, State::Labels),
        (State::Value, _) => spaced(cursor, Token::Value, State::Timestamp),
        (State::ExemplarValue, b'"') => cursor.quoted(Quoted::OneLine, Token::LabelValue, State::Exemplar),
        (State::ExemplarValue, _) => spaced(cursor, Token::Value, State::ExemplarTimestamp),
        (State::Timestamp | State::ExemplarTimestamp, b'\n') => cursor.one(Token::Linebreak, State::Init),
        (State::Timestamp, _) if cursor.rest().starts_with(b" # {") => {
            cursor.at += 4;
            cursor.state = State::Exemplar;
            Token::Comment
        }
        (State::Timestamp | State::ExemplarTimestamp, _) => spaced(cursor, Token::Timestamp, cursor.state),
    }
}

/// Reads a number sign, one space and a word; there are no comments for people.
fn comment(cursor: &mut Cursor<'_>) -> Token {
    const WORDS: [(&[u8], Token, State); 4] = [
        (b"# HELP ", Token::Help, State::MetaName),
        (b"# TYPE ", Token::Type, State::MetaName),
        (b"# UNIT ", Token::Unit, State::MetaName),
        (b"# EOF", Token::EofWord, State::Init),
    ];
    let rest = cursor.rest();
    for (word, token, state) in WORDS {
        if rest.starts_with(word) {
            cursor.at += word.len();
            cursor.at += usize::from(token == Token::EofWord && cursor.peek() == Some(b'\n'));
            cursor.state = state;
            return token;
        }
    }
    // The token ends where no word goes on.
    let fits = |word: &[u8]| word.iter().zip(rest).take_while(|(a, b)| a == b).count();
    cursor.at += WORDS.iter().map(|(word, _, _)| fits(word)).max().unwrap_or(0);
    Token::Invalid
}

fn meta_text(cursor: &mut Cursor<'_>) -> Token {
    if cursor.peek() != Some(b' ') {
        return Token::Invalid;
    }
    cursor.skip_line();
    if cursor.peek().is_none() {
        return Token::Invalid;
    }
    cursor.one(Token::Text, State::Init)
}

/// Reads one space and everything up to the next blank.
fn spaced(cursor: &mut Cursor<'_>, token: Token, state: State) -> Token {
    if cursor.peek() != Some(b' ') {
        return Token::Invalid;
    }
    cursor.at += 1;
    if cursor.take_while(|b| !matches!(b, b' ' | b'\n' | 0)) == 0 {
        return Token::Invalid;
    }
    cursor.state = state;
    token
}
