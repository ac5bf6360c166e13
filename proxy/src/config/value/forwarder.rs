//! Which forwarders a command is started with.

use super::{Bad, List, Scalar, Shape, Value, Written, items};
use crate::forwarders::{Forwarder, Selection, files};

/// `none`, `auto`, or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarders(pub(crate) Selection);

impl Value for Forwarders {
    const SHAPE: Shape = Shape::List;

    fn parse(written: &Written) -> Result<Self, Bad> {
        if items(written)? == ["auto"] {
            return Ok(Self(Selection::Auto));
        }
        let List(names) = List::parse(written)?;
        Ok(Self(match names.is_empty() {
            true => Selection::None,
            false => Selection::These(names),
        }))
    }

    fn show(&self) -> String {
        match &self.0 {
            Selection::None => "none".to_owned(),
            Selection::Auto => "auto".to_owned(),
            Selection::These(names) => List(names.clone()).show(),
        }
    }
}

impl Scalar for Forwarder {
    fn from_text(text: &str) -> Result<Self, Bad> {
        let Some(forwarder) = Self::named(text) else {
            let names = Self::ALL.map(Self::name).join(", ");
            return Err(Bad::new(format!(
                "no forwarder is called {text:?}; known are {names}, and auto for what fits"
            )));
        };
        if files(forwarder).is_empty() {
            return Err(Bad::new(format!(
                "this binary was built without the forwarder {forwarder}; `throughline forwarders \
                 list` shows what it has"
            )));
        }
        Ok(forwarder)
    }

    fn to_text(&self) -> String {
        self.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn forwarders_are_named_or_left_to_the_command() {
        check::<Forwarders>(&[
            ("auto", Ok("auto")),
            ("none", Ok("none")),
            ("python, node", Ok("python,node")),
            ("perl", Err("known are node, python, java, signal")),
            ("auto,node", Err("\"auto\"")),
            ("", Err("or none")),
        ]);
    }
}
