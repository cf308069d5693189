//! The installed service over several lives of its supervisor, under a real systemd: killed, restarted, upgraded.
use crate::machine::{SERVICE, with_service};
use crate::support::{Installation, Machine, Request, until};

#[test]
fn after_kill_9_of_the_supervisor_the_service_comes_back_with_what_it_knew() {
    let Some(machine) = with_service() else { return };
    let token = || {
        let token = machine.must(&["hotline", "token", "--user", "admin", "--ttl", "1h", "--json"]);
        let token: serde_json::Value = serde_json::from_str(&token).unwrap();
        token["token"].as_str().unwrap().to_owned()
    };
    let case = serde_json::json!({ "title": "Eviction of Maria Lopez", "jurisdiction": "US-CA" });
    let made = machine.inside(|| {
        machine.client().with_token(&token()).send(Request::new("POST", "/api/v1/cases").json(&case)).expect(201)
    });
    let place = made.header("location").unwrap().to_owned();

    let before = machine.property(SERVICE, "MainPID");
    machine.must(&["kill", "-KILL", &before]);
    until("a new supervisor serves", || {
        machine.property(SERVICE, "NRestarts") == "1" && machine.property(SERVICE, "ActiveState") == "active"
    });
    assert_ne!(machine.property(SERVICE, "MainPID"), before);
    let again = machine.inside(|| machine.client().with_token(&token()).get(&place).expect(200));
    assert_eq!(again.json()["title"], case["title"]);
}

/// The sockets that API workers accept on, whoever they are.
fn sockets(machine: &Machine) -> Vec<String> {
    let status: serde_json::Value = serde_json::from_str(&machine.must(&["hotline", "status", "--json"])).unwrap();
    let workers = status["workers"].as_array().unwrap();
    let api = workers.iter().find(|worker| worker["slot"] == "api-0" && worker["phase"] == "serving").unwrap();
    let socket = |fd: i32| machine.must(&["readlink", &format!("/proc/{}/fd/{fd}", api["pid"])]);
    [5, 6].map(socket).to_vec()
}

#[test]
fn while_the_supervisor_is_replaced_who_is_connected_is_served_and_who_comes_waits() {
    let Some(machine) = Machine::boot() else { return };
    machine.drop_in(SERVICE, "two.conf", "[Service]\nEnvironment=HOTLINE_WORKERS=2\n");
    machine.must(&["systemctl", "start", SERVICE]);
    let before = sockets(&machine);
    machine.inside(|| {
        let client = machine.client();
        let mut open = client.connect().unwrap();
        let ask = |open: &mut _| client.send_on(open, &Request::new("GET", "/health")).unwrap().expect(200);
        ask(&mut open);
        for restarts in 1..=3 {
            machine.must(&["kill", "-KILL", &machine.property(SERVICE, "MainPID")]);
            if restarts == 1 {
                ask(&mut open);
            }
            until("a new supervisor serves", || {
                client.get("/health").expect(200);
                machine.property(SERVICE, "NRestarts") == restarts.to_string()
                    && machine.property(SERVICE, "ActiveState") == "active"
            });
        }
    });
    assert_eq!(sockets(&machine), before, "the very same sockets");
    machine.must(&["systemctl", "restart", SERVICE]);
    assert_eq!(sockets(&machine), before, "also when it is asked for");
    let group = machine.path(&format!("/sys/fs/cgroup{}", machine.property(SERVICE, "ControlGroup")));
    machine.must(&["systemctl", "stop", SERVICE]);
    until("the orphans have left, too", || !group.exists());
}

#[test]
fn another_build_goes_on_under_the_same_main_pid() {
    let Some(machine) = Machine::boot() else { return };
    // `/usr` of this machine is read-only; where a package would put files anew there is room for them.
    let folder = "/usr/lib/hotline";
    let around = format!("mkdir /run/programs && cp {folder}/* /run/programs && mount --bind /run/programs {folder}");
    machine.must(&["sh", "-c", &around]);
    machine.must(&["systemctl", "start", SERVICE]);
    let pid = machine.property(SERVICE, "MainPID");
    let version = || {
        let status: serde_json::Value = serde_json::from_str(&machine.must(&["hotline", "status", "--json"])).unwrap();
        status["supervisor"]["version"].as_str().unwrap().to_owned()
    };
    let before = version();
    let next = Installation::at(machine.path(folder)).install_all('b');
    machine.must(&["hotline", "upgrade"]);
    assert_ne!(before, next);
    assert_eq!(version(), next);
    assert_eq!(machine.property(SERVICE, "MainPID"), pid);
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    assert_eq!(machine.property(SERVICE, "SubState"), "running");
    machine.inside(|| machine.client().get("/health").expect(200));
    machine.must(&["systemctl", "reload", SERVICE]);
    machine.must(&["systemctl", "stop", SERVICE]);
    assert_eq!(machine.property(SERVICE, "Result"), "success");
}
