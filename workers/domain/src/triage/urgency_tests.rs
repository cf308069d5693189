//! Short sentences that must, and must not, raise the alarm. On first sight 24 of the 48 alarming ones
//! reached their level; the cues were then widened by them, so they guard, they no longer measure.
use super::*;

fn level(text: &str) -> UrgencyLevel {
    thread_local!(static TRIAGE: Triage = {
        let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge");
        Triage::load(&folder).unwrap()
    });
    let input = Input { text, language: None, called_on: jiff::civil::date(2026, 11, 23), jurisdiction: "US" };
    TRIAGE.with(|triage| triage.analyze(&input, None)).urgency.level
}

/// All sentences at once, so one run shows every miss.
fn at_least(wanted: UrgencyLevel, texts: &[&str]) {
    let low: Vec<_> = texts.iter().filter(|text| level(text) < wanted).collect();
    assert!(low.is_empty(), "{} of {} below {wanted:?}:\n{low:#?}", low.len(), texts.len());
}

#[test]
fn danger_liberty_and_children_are_emergencies() {
    at_least(
        UrgencyLevel::Emergency,
        &[
            "I don't want to live anymore.",
            "Sometimes I think my kids would be better off without me.",
            "I've been thinking about ending it.",
            "I took a bunch of pills.",
            "He put his hands around my neck.",
            "My boyfriend pushed me down the stairs.",
            "He threw a chair at me and the kids saw it.",
            "She said she's going to stab me.",
            "He has a gun in the house and he's drunk.",
            "My father-in-law touches my daughter.",
            "He won't let me out of the apartment.",
            "I ran away from him and he's looking for me.",
            "I'm hiding in the bathroom.",
            "My uncle is in immigration detention.",
            "They picked up my dad at the courthouse and took him away.",
            "The cops have my brother.",
            "They're holding my wife at the airport.",
            "There's ICE outside my door right now.",
            "He's got a bench warrant.",
            "My ex never brought the baby back.",
            "She disappeared with our son.",
            "The social worker removed my children.",
            "He took the kids to Mexico without telling me.",
            "My landlord put a new lock on the door and I'm standing outside.",
            "All my belongings are on the curb.",
            "We are sleeping in the car tonight.",
            "Mi esposo me empujó y me jaló del pelo.",
            "No quiero seguir viviendo.",
            "Mi hermano está en un centro de detención.",
            "El papá se fue con la niña a otro estado.",
            "Nos sacaron a la calle.",
            "I've got nothing left, I'm going to take all my medication tonight.",
            "My husband kicked the door in and I locked myself in with the kids.",
            "He broke my phone so I couldn't call the police.",
            "My stepfather hits my little brother with a belt.",
            "He says nobody will find my body.",
            "The police arrested my wife instead of him.",
            "My husband didn't come home, they say immigration stopped the van.",
            "My son is seventeen and they have him in juvenile hall.",
            "Her father won't give the baby back until I sign a paper.",
            "A caseworker came and took both of my boys last night.",
            "The owner changed the lock while I was at the hospital.",
            "They threw us out and we have nowhere to sleep.",
            "Mi esposo me golpeó anoche enfrente de los niños.",
            "Migración se llevó a mi papá del trabajo.",
            "Mi suegra se llevó a mi bebé y no contesta.",
            "Ya no quiero vivir así, estoy desesperada.",
            "I can't see any reason to keep going.",
            "I bought rope yesterday.",
            "He twisted my arm until I screamed.",
            "My girlfriend hits me when she drinks.",
            "He said he'd burn the house with us inside.",
            "My wife was taken by officers at her check-in.",
            "Dad got picked up by ICE at work.",
            "My nephew has been in county jail since Sunday.",
            "My mother-in-law took the twins and won't answer.",
            "They placed my baby with strangers.",
            "My key doesn't work anymore and the super says I don't live here.",
            "He put our mattresses out on the street.",
            "Mi novio me agarró del cuello.",
            "La policía se llevó a mi hermano.",
            "El casero nos cerró con candado.",
            "Mi ex no me regresa a la niña.",
        ],
    );
}

#[test]
fn homes_power_and_near_dates_are_urgent() {
    at_least(
        UrgencyLevel::Urgent,
        &[
            "The marshal is coming.",
            "I got a five-day notice.",
            "They say I've got 72 hours to get out.",
            "We don't have any water.",
            "The heat's been off for three days.",
            "They're cutting my electricity.",
            "My lights are getting cut off Wednesday.",
            "I have court in the morning.",
            "My hearing is this Wednesday.",
            "I missed my court date last week.",
            "The answer is due on Friday.",
            "We'll be on the street by Saturday.",
            "I have no place to stay with my kids.",
            "Me van a desalojar.",
            "Nos cortaron el agua.",
            "Mañana tengo audiencia.",
            "No tenemos dónde vivir.",
        ],
    );
}

/// Written after the cues were widened and never used to change one. One short sentence alone is
/// the hard case (a call says the same thing several ways), so the share found here is a lower
/// bound. Lists before this one found 6 and 10 of 16 on first sight and then joined the list above.
#[test]
fn alarms_in_words_nobody_tuned_for_are_mostly_found() {
    let texts = [
        "I keep thinking everyone would be happier if I was gone.",
        "My boyfriend strangled me until I passed out.",
        "He follows me to work and waits in the parking lot.",
        "My roommate swung a hammer at me.",
        "I'm afraid he's going to hurt the baby.",
        "Two agents came to our house and left with my father.",
        "My girlfriend is in jail for something she didn't do.",
        "My ex picked up our daughter from school and now they're both gone.",
        "The state took custody of my newborn at the hospital.",
        "I can't get into my room, they changed the code on the door.",
        "Mi esposo me amenaza con quitarme a los niños.",
        "A mi primo lo agarró inmigración en la carretera.",
    ];
    let missed: Vec<_> = texts.iter().filter(|text| level(text) < UrgencyLevel::Emergency).collect();
    println!("{} of {} missed: {missed:#?}", missed.len(), texts.len());
    assert!(missed.len() * 3 <= texts.len(), "{missed:#?}");
}

#[test]
fn ordinary_calls_stay_ordinary() {
    let texts = [
        "I want to change my name after the wedding.",
        "How do I get a copy of my birth certificate?",
        "My neighbor's tree fell on my fence.",
        "I'd like to write a will for my kids.",
        "Can my boss pay me in cash?",
        "The store won't give me a refund for the shoes.",
        "What are your hours on Friday?",
        "I need to update my address with the court.",
        "I hit a pole with my car, it's only a scratch.",
        "Quiero saber cómo hacer un testamento.",
    ];
    let high: Vec<_> = texts.iter().filter(|text| level(text) > UrgencyLevel::Soon).collect();
    assert!(high.is_empty(), "{high:#?}");
}
