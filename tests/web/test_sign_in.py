"""Who gets in: passwords, the pause after wrong ones, sessions, and no sign-in only for the demo on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select, update

from connector.store.tables import user
from connector.web.auth import hash_password
from tests.web.fixture import House, csrf_of, sign_in, visible

Steps = Callable[[httpx.AsyncClient], object]


def run(house: House, steps: Steps, **options: str) -> object:
    async def inside() -> object:
        async with house.client(**options) as client:  # type: ignore[arg-type]
            return await steps(client)  # type: ignore[misc]

    return asyncio.run(inside())


@pytest.mark.parametrize(
    "path", ["/", "/envois", "/envois/1", "/valeur", "/fiches/cht/reports/3c91-7be0", "/quarantaine", "/references"]
)
def test_production_asks_who_is_there(build: Callable[..., House], path: str) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        answer = await client.get(path)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/connexion?to=%2F")

    run(build(env="production"), steps)


def test_the_demo_is_open_on_loopback_and_nowhere_else(build: Callable[..., House]) -> None:
    house = build(env="demo")

    async def status(client: httpx.AsyncClient) -> int:
        return (await client.get("/")).status_code

    assert run(house, status) == 200
    assert run(house, status, base="http://localhost:8000") == 200
    assert run(house, status, base="http://[::1]:8000", peer="::1") == 200
    assert run(house, status, peer="192.0.2.7") == 303, "another machine"
    assert run(house, status, base="http://relais.example") == 303, "a rebound name"
    assert run(house, status, base="http://127.0.0.1.example") == 303

    async def proxied(client: httpx.AsyncClient) -> int:
        return (await client.get("/", headers={"x-forwarded-for": "192.0.2.7"})).status_code

    assert run(house, proxied) == 303, "a proxy on this machine"


def test_sign_in_and_out(build: Callable[..., House]) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        page = await client.get("/connexion?to=/quarantaine")
        answer = await client.post(
            "/connexion",
            data={"csrf": csrf_of(page.text), "username": "operator", "password": "le chat dort", "to": "/quarantaine"},
        )
        assert answer.status_code == 303 and answer.headers["location"] == "/quarantaine"
        cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("relais_session"))
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "le chat dort" not in cookie
        home = await client.get("/")
        assert home.status_code == 200 and "operator" in visible(home.text)
        assert (await client.post("/deconnexion", data={"csrf": csrf_of(home.text)})).status_code == 303
        assert (await client.get("/")).status_code == 303

    run(build(env="production"), steps)


def test_the_cookie_is_secure_over_https(build: Callable[..., House]) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        answer = await sign_in(client, "viewer")
        assert all("Secure" in c for c in answer.headers.get_list("set-cookie"))
        assert "max-age" in answer.headers["strict-transport-security"]

    run(build(env="production"), steps, base="https://relais.example", peer="192.0.2.7")


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil",
    ],
)
def test_sign_in_leads_nowhere_else(build: Callable[..., House], to: str) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        page = await client.get("/connexion")
        answer = await client.post(
            "/connexion", data={"csrf": csrf_of(page.text), "username": "viewer", "password": "le chat dort", "to": to}
        )
        assert answer.status_code == 303 and answer.headers["location"] == "/"

    run(build(env="production"), steps)


def test_five_wrong_passwords_pause_the_account_for_a_quarter_of_an_hour(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        for left in (4, 3, 2, 1):
            answer = await sign_in(client, "operator", "wrong")
            assert answer.status_code == 401 and f"{left}" in visible(answer.text)
        assert (await sign_in(client, "operator", "wrong")).status_code == 429
        answer = await sign_in(client, "operator")
        assert answer.status_code == 429, "not even the right one"
        assert "relais_session" not in answer.headers.get("set-cookie", "")
        assert (await sign_in(client, "viewer")).status_code == 303, "others are not locked out"
        client.cookies.clear()
        house.clock.at += timedelta(minutes=14)
        assert (await sign_in(client, "operator")).status_code == 429
        house.clock.at += timedelta(minutes=2)
        assert (await sign_in(client, "operator")).status_code == 303

    run(house, steps)
    row = house.store.read(
        lambda u: u.connection.execute(select(user).where(user.c.name == "operator")).mappings().one()
    )
    assert row["failures"] == 0 and row["locked_until"] is None


def test_an_unknown_name_is_answered_like_a_known_one(build: Callable[..., House]) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        for n in range(6):
            known, unknown = await sign_in(client, "operator", "wrong"), await sign_in(client, "nobody", "wrong")
            assert known.status_code == unknown.status_code, n
            same = visible(known.text).replace("operator", "") == visible(unknown.text).replace("nobody", "")
            assert same, n

    run(build(env="production"), steps)


def test_one_address_cannot_try_many_names(build: Callable[..., House]) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        codes = [(await sign_in(client, f"name{i}", "wrong")).status_code for i in range(31)]
        assert codes[:30] == [401] * 30 and codes[30] == 429
        assert (await sign_in(client, "viewer")).status_code == 429

    run(build(env="production"), steps, peer="192.0.2.9")


def test_a_session_ends_with_its_time_its_password_its_user(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        await sign_in(client, "viewer")
        assert (await client.get("/")).status_code == 200
        house.store.write(
            lambda u: u.connection.execute(
                update(user).where(user.c.name == "viewer").values(password=hash_password("autre"))
            )
        )
        assert (await client.get("/")).status_code == 303
        await sign_in(client, "operator")
        house.clock.at += timedelta(hours=11)
        assert (await client.get("/")).status_code == 303
        await sign_in(client, "clinic")
        house.store.write(lambda u: u.connection.execute(user.delete().where(user.c.name == "clinic")))
        assert (await client.get("/")).status_code == 303

    run(house, steps)


def test_passwords_are_kept_as_argon2id() -> None:
    from argon2 import PasswordHasher, extract_parameters

    made = extract_parameters(PasswordHasher().hash("x"))
    assert made.type.name == "ID" and made.memory_cost >= 19_456, "OWASP password storage: at least 19 MiB"
    assert hash_password("x").startswith("$argon2id$")


def test_a_cookie_of_somebody_else_is_worth_nothing(build: Callable[..., House]) -> None:
    house = build(env="production")

    async def steps(client: httpx.AsyncClient) -> None:
        await sign_in(client, "viewer")
        good = client.cookies["relais_session"]
        for bad in (good[:-2] + ("AA" if not good.endswith("AA") else "BB"), "x", "", "é", "A" * 9000):
            answer = await client.get("/", headers={"cookie": f"relais_session={bad}".encode()})
            assert answer.status_code == 303

    run(house, steps)
