//! Every code of the errors of reference data, in one place.
//!
//! A code is never reused for something else; `rater explain R103` and `docs/reference-errors.md` are made of this table.

use std::fmt;

macro_rules! codes {
    ($($number:literal $name:ident $title:literal $text:literal)*) => {
        /// What is wrong, as a stable number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All codes, ascending.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// `R103`
            pub const fn number(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// A few words, without full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// A paragraph: what is meant, why it is refused and what to write instead.
            pub const fn explanation(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

impl Code {
    /// The code with this number, whatever the case of its letter.
    pub fn find(number: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number().eq_ignore_ascii_case(number))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

codes! {
    "R001" Unreadable "a file cannot be read"
        "The file does not exist, may not be read, is not UTF-8, or is larger than 1 GiB. Reference data is read as a whole before anything is rated, so one unreadable file stops the load."
    "R002" Syntax "a file is not well-formed YAML"
        "The text breaks the rules of YAML, so nothing behind this place in the file could be read. Frequent causes are a missing space after a colon, a tab used for indentation, and a bracket or quote that is not closed."
    "R003" Anchor "anchors and aliases of YAML are refused"
        "`&name` and `*name` copy one part of a document into another, so that a price would apply where nobody wrote it, and small files could grow without limit. Write the value out, or use a tariff with `alias_of`."
    "R004" Tag "tags of YAML are refused"
        "`!tag` changes how a value is to be understood. Every value of reference data is read as the text that stands there, so a tag could only mislead."
    "R005" DuplicateKey "a key is given twice"
        "The same key stands twice in one map. YAML parsers differ in which of the two they keep; here neither is guessed. Remove one of them."
    "R006" TooDeep "values are nested too deeply"
        "No form of reference data is nested deeper than a dozen levels. The limit of 64 protects the loader against made-up files."
    "R007" SeveralDocuments "a file holds more than one document"
        "A file is one YAML document. Put what follows the second `---` into a file of its own; several files are merged."
    "R008" KeyNotText "a key is not plain text"
        "Keys are names; a list or a map cannot be one. The usual cause is a stray `?` or bracket."

    "R010" Format "the format is missing or unknown"
        "Every file begins with `format: rater/v1`. The line says which rules the rest is read by, so that a later version can tell old files from new ones."
    "R011" UnknownKey "a key is unknown"
        "The key is not known at this place. Unknown keys are refused because a misspelt `minimum` that is ignored becomes a wrong invoice. `docs/reference-data.md` lists the keys."
    "R012" MissingKey "a required key is missing"
        "The definition lacks a key that has no default. `docs/reference-data.md` lists which keys are required."
    "R013" WrongKind "a value is of the wrong kind"
        "A text, a list or a map stands where another of the three is expected, for example `networks: 234` instead of `networks: [234]`."
    "R014" BadName "a name is malformed"
        "Names of zones, tariffs, bundles, accounts, endpoints and services match `[a-z0-9_-]+`: lower-case letters, digits, underscore and hyphen. They appear in identifiers and topic keys, where other characters cause trouble."
    "R015" DefinedTwice "a name is defined twice"
        "Two files (or the YAML and the CSV of endpoints) define the same name. Files are merged by name and nothing is overwritten, so one of the two must go."
    "R016" UnknownWord "a word is unknown"
        "The value must be one of a few words, such as `prepaid` and `postpaid`. The message lists them."
    "R017" KeysExclude "keys do not go together"
        "Exactly one of several keys must be given, or a key has no meaning beside another one: a rate has one of `price`, `tiers`, `bands`, `package` and `blocked`, and bands carry their own connect fee."
    "R018" EmptyList "a list is empty"
        "The list needs at least one entry: a tariff without a version, or a rate without a tier, prices nothing, and whether that was meant cannot be known."
    "R019" ListedTwice "a value is listed twice"
        "The same value stands twice in a list in which it counts once. One of them was probably meant to be something else."

    "R020" BadQuantity "a quantity is malformed"
        "A quantity is a number and a unit: `100 KB`, `1 GB`, `60 s`, `5 min`, `10 messages`, `3 units`; a bare integer is base units (octets, seconds, messages, units). After conversion it must be a whole number: `1.5 KB` is 1500 octets, but `0.0001 KB` is refused."
    "R021" BadPrice "a price is malformed"
        "A price is an exact decimal per quantity: `0.20/MB`, `1.00/s`, `0.05/message`, `0.10/100 KB`. It has no currency (the tariff has) and no thousands separators."
    "R022" BadMoney "an amount of money is malformed"
        "Money is an exact decimal such as `5.00`, where the currency follows from the context, or `5.00 GBP`. Exponents, thousands separators and currency signs are not accepted."
    "R023" BadTime "a time is malformed"
        "A time is RFC 3339 with an offset and at most milliseconds: `2026-01-01T00:00:00Z` or `2026-08-26T12:00:00+02:00`. A time without an offset would mean something else on every machine."
    "R024" BadLength "a length is malformed"
        "A length is a whole number and a calendar unit: `12 hours`, `30 days`, `2 weeks`, `1 month`, `1 year`."
    "R025" BadNetwork "a network is malformed"
        "A network is an MCC of three digits (`234`), or an MCC and an MNC of two or three digits (`234-15`). `310-41` and `310-410` are different networks."
    "R026" BadDigits "a number of digits is malformed"
        "Identities and called prefixes are digits only, without plus sign, spaces or hyphens: an IMSI has 6 to 15 digits, an MSISDN 3 to 15, an ICCID 18 to 20, a called prefix 1 to 15."
    "R027" BadNumber "a whole number is malformed"
        "A plain whole number is expected here, such as the scale of a rounding, a priority, a rating group or the percentage of a threshold."
    "R028" OutOfRange "a value is out of range"
        "The value is larger or smaller than what can be held exactly or has a meaning: quantities go up to 9223372036854775807 base units, money is below 10^18 with at most 10 decimal places, and scales go from 0 to 10. Nothing is clamped or rounded to fit."
    "R029" Negative "a value must not be negative"
        "Prices, fees, caps and quantities are zero or more; increments and block sizes are more than zero. Only a mark-up may be negative, and then the prices it leads to may not."
    "R030" BadBandTime "the days or hours of a time band are malformed"
        "Days are written `Mon-Fri`, `Sat,Sun` or a mixture of both, hours `18:00-24:00`. A band cannot run over midnight, because it would be unclear whose day it is: write two bands."
    "R031" UnknownTimeZone "a time zone is unknown"
        "The name must be one of the IANA time zone database, such as `Europe/London`. Rater uses the copy of the database it was built with, so that a price does not depend on the machine."
    "R032" BadCurrency "a currency is malformed"
        "A currency is a code of three capital letters from ISO 4217, such as `GBP`."
    "R033" UnitMismatch "a unit does not belong to the service"
        "`data` is measured in octets, `voice` in seconds and `sms` in messages. Any other service takes the unit of its prices, and it must be the same wherever that service is priced or granted; otherwise a record could not be matched to both."
    "R034" NotAscending "entries are not in ascending order of time"
        "Versions, changes and dated mark-ups are listed by strictly ascending `from`. Two entries of the same moment would leave open which one holds."

    "R101" UndefinedAccount "an account is not defined"
        "The name does not stand under `accounts` in any of the files. If the message suggests a similar name, it is probably a misspelling."
    "R102" UndefinedTariff "a tariff is not defined"
        "The name does not stand under `tariffs` in any of the files. If the message suggests a similar name, it is probably a misspelling."
    "R103" UndefinedZone "a zone is not defined"
        "The name does not stand under `zones` in any of the files, and it is not `root`, which is built in. If the message suggests a similar name, it is probably a misspelling."
    "R104" UndefinedBundle "a bundle is not defined"
        "The name does not stand under `bundles` in any of the files. If the message suggests a similar name, it is probably a misspelling."
    "R105" UndefinedEndpoint "an endpoint is not defined"
        "The name does not stand under `endpoints` in any of the files, nor in the CSV of endpoints. If the message suggests a similar name, it is probably a misspelling."

    "R110" ReservedZone "the zone `root` is built in"
        "`root` matches every network and every number and always exists. Give the zone another name, or leave out the definition."
    "R111" EmptyZone "a zone matches nothing"
        "A zone needs `networks`, `to` or both. A zone without either would match nothing; for everything there is `root`."

    "R120" OverlappingRates "two rates could match the same record"
        "Two rates of one version could match one record and are equally specific, so the price would depend on their order. Specificity compares, in this order: the number of further keys given (`rating_group`, `apn`, `rat`, `direction`, `sponsor`), the length of the called prefix, and the grade of the zone (network, group, country, root). Take a network out of one zone, give one of the rates a further key, or remove one."
    "R121" TiersNotAscending "tiers do not ascend"
        "`up_to` counts from the start of the scope and must grow from tier to tier. A tier that ends where the previous one ended would price nothing."
    "R122" LastTier "the last tier must be open, and only the last"
        "Units above a last tier that ends would have no price, and nothing is free by accident. Leave out `up_to` in the last tier; everywhere else it is required."
    "R123" BandsOverlap "two time bands cover the same moment"
        "Every moment of a week belongs to exactly one band. Shorten one of them, or let `otherwise: true` take what the others leave."
    "R124" BandsGap "a moment of the week is in no time band"
        "Every moment of a week belongs to exactly one band; a moment without one would have no price. Add a band, or one with `otherwise: true`."
    "R125" AliasCycle "a tariff is an alias of itself"
        "Following `alias_of` leads back to where it began, so there is no master with prices."
    "R126" NegativeResult "a mark-up leads to a negative price"
        "A mark-up may be negative, but at every moment the price it leads to (with all mark-ups of aliases of aliases) must be zero or more."
    "R127" CurrencyMismatch "currencies differ"
        "A tariff, a default tariff, a bundle and a plan must be in the currency of the account that pays by them. Nothing is converted: an amount in the wrong currency would be booked as if it were in the right one. Nor can the currency of an account change once something was charged to it: `rater rate` refuses reference data that do so for an account whose state it goes on with."
    "R128" MarkupWithoutRate "a mark-up applies to no price"
        "No version of the master has a unit price of this service, so the mark-up would never be charged. Usually the service is misspelt, or the master prices it by packages, which mark-ups do not change."
    "R129" TooPrecise "a price cannot be represented exactly"
        "Prices are exact or refused. The prices of one rate need a common denominator of at most 10^27, which prices per odd quantities (such as `0.0000000001/9223372036854775807`) do not have; and the sum of a price and its mark-ups must not need more than 28 digits. State prices and mark-ups per the same plain quantity."

    "R140" BundleCurrency "the currency of a bundle is missing or contradicts its price"
        "A bundle takes its currency from its `price`, such as `5.00 GBP`. Where there is no price, `currency` says it; where both are given they must agree. It must equal the currency of every account that holds the bundle."
    "R141" GrantIncomplete "a grant lacks its start or its endpoint"
        "A bundle that has a length and starts at a date needs `at`, and a bundle with scope `endpoint` needs `endpoint`: write `{ bundle: uk-1gb, at: 2026-01-01T00:00:00Z, endpoint: meter-1 }`."
    "R142" GrantedTwice "a bundle is granted twice"
        "Grants written in reference data are commands with the id `reference:ACCOUNT:BUNDLE[:ENDPOINT]`, and a command applies once: the second grant would never arrive. Buy further ones by command, or define a second bundle."
    "R143" GrantEndpoint "the endpoint of a grant does not fit"
        "`endpoint` belongs to bundles with scope `endpoint` only, and the endpoint must be below the account that gets the bundle at some moment from the start of the grant on."
    "R144" GrantOutsidePlan "a grant begins when its plan does not hold"
        "A plan gives the endpoint an account, and bundles of the plan are granted to that account. Before the plan begins, and after another one takes its place, there is no such account to grant anything to. Leave out `at`, which then is the beginning of the plan, or move it."

    "R150" OneOperator "there must be exactly one operator"
        "The operator is the root of the hierarchy; every account has it at the end of its chain of parents."
    "R151" OperatorKey "the operator has no parent and pays nobody"
        "`parent`, `tariff`, `mode`, `bundles`, `sponsors` and `subscription_types` describe the edge to a parent, and the operator has none."
    "R152" NoParent "an account has no parent"
        "Every reseller and every customer has a parent that charges it. Only the operator is without one."
    "R153" ParentKind "an account cannot be the parent of this one"
        "Parents are the operator and resellers. A customer is a leaf: it holds endpoints, not accounts."
    "R154" AccountCycle "an account is its own ancestor"
        "Following the parents leads back to where it began, at least from some moment on, so the chain would never reach the operator."
    "R155" KeyOfKind "a key does not belong to this kind of account"
        "`default_customer_tariff` is for the direct customers of an account, so an account that is itself a customer cannot have one."
    "R156" ClosedIsFinal "a closed account is changed again"
        "When an account is closed, what was left of its balance is closed too. It cannot be opened again; define a new account."
    "R157" TooManyLevels "a chain of accounts is too long"
        "A record is charged once on every edge between its customer and the operator, and a charge holds the number of its level in one byte: there can be 255 edges, not more, at any moment. Charging only the lower ones would give away what the upper ones are owed, so the chain is refused."

    "R160" IdentityTwice "two endpoints have the same identity at the same time"
        "An IMSI, ICCID or MSISDN belongs to one endpoint at any moment, or a record could not be matched. It may move from one endpoint to another by dated changes of both."
    "R161" NotACustomer "endpoints belong to customers"
        "The account exists, but it is the operator or a reseller. Only customers hold endpoints."

    "R170" CsvHeader "the header of a CSV file is wrong"
        "The first line names the columns: `endpoint,customer,imsi,iccid,msisdn,group,active,plan_tariff` in any order. `endpoint` and `customer` are required; unknown and repeated columns are refused."
    "R171" CsvRow "a row of a CSV file has too few or too many cells"
        "Every row has as many cells as the header has columns; empty cells are absent values. A stray or missing comma shifts all that follows it."
    "R172" CsvCell "a required cell is empty"
        "Every row names its `endpoint` and its `customer`."

    "R180" NotSupported "something is not supported yet"
        "What is written here is understood but cannot be rated, and ignoring it would give wrong amounts: bundles that renew or roll over, credit pots, limits, volume tiers, commitments, and changes of what is fixed for an account. The message names it."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_ascending() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        assert!(Code::ALL.iter().all(|code| Code::find(code.number()) == Some(*code)));
        assert_eq!(Code::find("r103"), Some(Code::UndefinedZone));
        assert_eq!(Code::find("R999"), None);
    }
}
