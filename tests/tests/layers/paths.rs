//! Every path that a source spells out, such as `crate::id::TraceId`, from its tokens.
//!
//! Tokens and not a syntax tree: the inside of a macro call is code too, and only tokens are the same
//! inside and outside. Comments and texts are no tokens, and test modules are left out.

use proc_macro2::{Delimiter, LexError, Spacing, TokenStream, TokenTree};

/// Every path of at least two segments in the module `module`, which `text` is the source of.
///
/// Braces are spread out (`a::{b, c}` is `a::b` and `a::c`), and `self` and `super` become the
/// `crate::…` that they stand for.
pub(crate) fn of(text: &str, module: &[String]) -> Result<Vec<Vec<String>>, LexError> {
    let mut walk = Walk {
        module: module.to_vec(),
        found: Vec::new(),
    };
    walk.tokens(text.parse()?);
    Ok(walk.found)
}

struct Walk {
    /// The module that the walk is in.
    module: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Walk {
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Punct(_) if is_cfg_test(&tokens, at) => {
                    after_test_module(&tokens, at + 2)
                }
                TokenTree::Ident(word) if word == "mod" => self.module(&tokens, at),
                TokenTree::Ident(_) => self.path(&tokens, at, &[]),
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    at + 1
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
            };
        }
    }

    /// At `mod`: goes into the module if its code is here.
    fn module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if let [_, TokenTree::Ident(name), TokenTree::Group(body), ..] = &tokens[at..] {
            self.module.push(name.to_string());
            self.tokens(body.stream());
            self.module.pop();
            return at + 3;
        }
        at + 1
    }

    /// At the first segment of a path: notes it, behind `prefix`, and says where it ends.
    fn path(&mut self, tokens: &[TokenTree], at: usize, prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        let mut at = at;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(segment)) => path.push(segment.to_string()),
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => path.push("*".into()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inside.split(|t| is_punct(Some(t), ',')) {
                        self.path(branch, 0, &path);
                    }
                    return at + 1;
                }
                // A type's parameters, or nothing: the path is over.
                _ => break,
            }
            at += 1;
            if !is_double_colon(tokens, at) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            let path = self.absolute(path);
            self.found.push(path);
        }
        at
    }

    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let supers = path
            .iter()
            .take_while(|segment| *segment == "super")
            .count();
        let here = usize::from(path[0] == "self");
        if supers + here == 0 {
            return path;
        }
        let base = self.module.len().saturating_sub(supers);
        let mut absolute = vec!["crate".to_owned()];
        absolute.extend_from_slice(&self.module[..base]);
        absolute.extend_from_slice(&path[supers + here..]);
        absolute
    }
}

/// Whether `#[cfg(test)]` stands here.
fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(attribute)) = tokens.get(at + 1) else {
        return false;
    };
    let mut text = attribute.stream().to_string();
    text.retain(|c| !c.is_whitespace());
    is_punct(tokens.get(at), '#') && text == "cfg(test)"
}

/// Behind `#[cfg(test)]`: behind the module that it is for, if it is for a module.
fn after_test_module(tokens: &[TokenTree], from: usize) -> usize {
    let mut at = from;
    loop {
        at += match &tokens[at..] {
            [TokenTree::Punct(hash), TokenTree::Group(_), ..] if hash.as_char() == '#' => 2,
            [TokenTree::Ident(word), TokenTree::Group(_), ..] if word == "pub" => 2,
            [TokenTree::Ident(word), ..] if word == "pub" => 1,
            [TokenTree::Ident(word), _, TokenTree::Group(_), ..] if word == "mod" => {
                return at + 3;
            }
            _ => return from,
        };
    }
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    let joint =
        matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.spacing() == Spacing::Joint);
    joint && is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}
