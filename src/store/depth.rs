//! SQL that is too deep to be read: parsing, planning and forgetting an expression each take a piece of the stack for every
//! step down, and a chain of a hundred thousand operators ends the process.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The most operators in one chain: `a OR b OR c` has two.
const MOST_OPERATORS: usize = 2_000;

/// The most queries that set operations join, and tables that one query joins.
const MOST_JOINED: usize = 500;

/// Refuses SQL in which something is chained too often. Text that cannot be cut into words is left to the parser.
///
/// # Errors
/// What is chained, how often, and what to do.
pub fn check_depth(sql: &str) -> Result<(), String> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    // Operators of the chains around the place where the reading is, outermost first.
    let mut chains = vec![0usize];
    let mut joined = 0usize;
    for token in &tokens {
        let step = match token {
            Token::LParen => Step::In,
            Token::RParen => Step::Out,
            Token::Comma | Token::SemiColon => Step::Anew,
            Token::Word(word) if word.quote_style.is_none() => step(&word.value.to_ascii_uppercase()),
            other if is_operator(other) => Step::On,
            _ => Step::Stay,
        };
        match step {
            Step::In => chains.push(0),
            Step::Out if chains.len() > 1 => drop(chains.pop()),
            Step::Join => joined += 1,
            Step::Out | Step::Stay => {}
            Step::Anew | Step::On => {
                let chain = chains.last_mut().expect("the outermost is never taken away");
                *chain = if step == Step::On { *chain + 1 } else { 0 };
            }
        }
        let chain = chains.last().copied().unwrap_or(0);
        for (count, most, what) in
            [(chain, MOST_OPERATORS, "operators in one chain"), (joined, MOST_JOINED, "joins and unions")]
        {
            if count > most {
                return Err(format!(
                    "it has more than {most} {what}: write a list, as in x IN (a, b, c), or less of it"
                ));
            }
        }
    }
    Ok(())
}

/// What a token does to the chain it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Another operator.
    On,
    /// The end of it, and the start of the next.
    Anew,
    /// A chain within it begins.
    In,
    /// And ends.
    Out,
    /// One more query or table beside those before.
    Join,
    /// Nothing.
    Stay,
}

fn step(word: &str) -> Step {
    match word {
        "UNION" | "EXCEPT" | "INTERSECT" | "JOIN" => Step::Join,
        "AND" | "OR" | "XOR" | "NOT" | "IS" | "LIKE" | "ILIKE" | "BETWEEN" | "IN" | "COLLATE" | "AT" => Step::On,
        _ => Step::Stay,
    }
}

/// Anything that can stand between two values.
fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::EOF
            | Token::Word(_)
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::Whitespace(_)
            | Token::Placeholder(_)
            | Token::Period
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_refused_and_lists_are_not() {
        let many = |piece: &str, between: &str, count: usize| vec![piece; count].join(between);
        for (sql, allowed) in [
            (format!("SELECT {}", many("1", " + ", 2_000)), true),
            (format!("SELECT {}", many("1", "+", 2_100)), false),
            (format!("SELECT {}", many("'a'", "||", 2_100)), false),
            (format!("SELECT {}", many("(a)", " or ", 2_100)), false),
            (format!("SELECT 1{}", "::text".repeat(2_100)), false),
            (format!("SELECT x IN ({})", many("-1", ", ", 50_000)), true),
            (format!("SELECT * FROM t WHERE a = '{}'", "+".repeat(10_000)), true),
            (many("SELECT 1, 2", " UNION ALL ", 600), false),
            (format!("SELECT 1 FROM t{}", " JOIN t USING (a)".repeat(600)), false),
            (many("SELECT 1", " UNION ", 20), true),
        ] {
            assert_eq!(check_depth(&sql).is_ok(), allowed, "{}", &sql[..60.min(sql.len())]);
        }
    }
}
