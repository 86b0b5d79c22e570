"""Metadata of an OpenMRS: what ``openmrs.yaml`` names and the server lacks, and making it by REST. ``ports.Setup``.

What is made has the uuid of ``openmrs.yaml`` (001-032: REST takes it). Two things get a uuid of the server's own: an
appointment service (633) and an identifier source (006) are made, and their uuid is for a person to write down. A
concept given as ``CIEL:code`` is made with a term of that source and a SAME-AS mapping (013-016), where the pack says
what the code means; else it comes with the dictionary. The account of Relais gets a role of its own, with what the
doctor asks for (052, 840); a role is only ever added to. Each row is looked for after it was posted, whatever was
answered. Numbers: recordings/openmrs-2.8.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connector.adapters.openmrs_answers import REASONS, short
from connector.adapters.openmrs_needed import ROLE, Meant, Needed, identifier_source, needed, uuid_of_ciel
from connector.adapters.openmrs_probe import ADVISED, groups, held, superuser
from connector.adapters.openmrs_rest import Json, Rest, Stop, listed, ref, uuid_of
from connector.adapters.openmrs_rows import LUHN_MOD_30
from connector.errors import TargetRefused, TargetUnreadable
from connector.identity import Names
from connector.model import Finding, Lack, Severity, Survey, Who

_OF_ACCOUNT = ("openmrs.credentials", "openmrs.locked", "openmrs.privilege")
_PAGES, _PAGE = 20, 100  #: of a list; the server's maximum (154)
_WHY: Mapping[str, tuple[str, str]] = {
    "ciel": (
        "it belongs to the CIEL dictionary: install that, or mend openmrs.yaml",
        "il appartient au dictionnaire CIEL : l'installer, ou corriger openmrs.yaml",
    ),
    "validator": (
        "the check of its identifier type ({0}) is not one Relais knows: create the source in OpenMRS (Administration "
        "→ Manage identifier sources) and write its uuid into openmrs.yaml",
        "Relais ne connaît pas le contrôle de son type d'identifiant ({0}) : créer la source dans OpenMRS "
        "(Administration → sources d'identifiants) et écrire son uuid dans openmrs.yaml",
    ),
    "write": (
        "it is there as {0}: write that into openmrs.yaml",
        "il est là sous {0} : l'écrire dans openmrs.yaml",
    ),
    "role": (
        "Relais does not make it: mend openmrs.yaml",
        "Relais ne le crée pas : corriger openmrs.yaml",
    ),
    "retired": (
        "it is retired there: choose a living one in openmrs.yaml",
        "il est retiré là-bas : en choisir un autre dans openmrs.yaml",
    ),
    "module": (
        "install and start the module, or choose the profile platform2",
        "installer et démarrer le module, ou choisir le profil platform2",
    ),
    "privilege": (
        "OpenMRS knows no privilege of this name; it comes with a module: the administrator of OpenMRS installs that",
        "OpenMRS ne connaît pas ce privilège, qui vient avec un module : l'administrateur d'OpenMRS installe celui-ci",
    ),
    "unseen": (
        "this account may not look at roles: give --user of an administrator, or let one make the role",
        "ce compte ne peut pas voir les rôles : donner --user d'un administrateur, ou lui faire créer le rôle",
    ),
    "account": (
        "OpenMRS does not let Relais's account in: the administrator makes it (Administration → Users) with the role "
        "Relais, or mends its password in targets.yaml",
        "OpenMRS n'accepte pas le compte de Relais : l'administrateur le crée (Administration → utilisateurs) avec le "
        "rôle Relais, ou corriger son mot de passe dans targets.yaml",
    ),
}


class OpenmrsSetup:
    """``rest``: the account that makes; ``own``: that of Relais, where another makes. ``titles``: place of
    ``openmrs.yaml`` -> its name, for new locations; ``ciel``: number of CIEL -> what the pack says it means."""

    def __init__(
        self,
        rest: Rest,
        *,
        name: str,
        openmrs: Mapping[str, Any],
        profile: str,
        titles: Mapping[str, str],
        names: Names,
        ciel: Mapping[str, Meant] | None = None,
        own: Rest | None = None,
    ) -> None:
        self.rest, self.name, self.openmrs, self.profile = rest, name, openmrs, profile
        self.titles, self.names, self.ciel, self.own = titles, names, ciel or {}, own or rest
        self._missing: list[Needed] = []

    # ------------------------------------------------------------ the port

    async def survey(self) -> Survey:
        """What is missing. The package: what would be posted, by resource."""
        try:
            found = [one async for one in self._lacks()]
        except Stop as stop:
            raise _trouble(self.name, stop) from None
        lacks = [_lack(one) for one in found]
        self._missing = [one for one, lack in zip(found, lacks, strict=True) if lack.makeable]
        package: dict[str, list[Json]] = {}
        for one in self._missing:
            for path, body in one.bodies:
                package.setdefault(path, []).append(body)
        return Survey(tuple(lacks), package)

    async def make(self, survey: Survey) -> Sequence[Finding]:
        findings = []
        for one in self._missing:
            try:
                for path, body in one.bodies:
                    refused = await self._post(path, body)
                    if refused:
                        findings.append(_finding(f"{one.place}: {refused}"))
                        break
            except Stop as stop:
                raise _trouble(self.name, stop) from None
        return findings

    async def _post(self, path: str, body: Json) -> str:
        """What OpenMRS refused, in its words: also for want of a privilege, as an account may make one thing and not
        another. A lost answer is no refusal: the next survey says what was made."""
        if "uuid" in body and await self.rest.get(f"{path}/{body['uuid']}") is not None:
            return ""  # a part that an earlier try made
        said = await self.rest.write("POST", path, json=body)
        if said is None or said.code is None:
            return ""
        if said.code in ("openmrs.credentials", "openmrs.locked"):
            raise said.stop()
        return short(said.body) or f"OpenMRS answered {said.status}"

    # ------------------------------------------------------------ looking

    async def _lacks(self) -> AsyncIterator[Needed]:
        modules = await self.rest.get("module", v="custom:(moduleId,started)", limit="100")
        rows = (modules or {}).get("results")
        started = {str(m.get("moduleId")) for m in rows if isinstance(m, Mapping)} if isinstance(rows, list) else set()
        for module in ("idgen", *(["appointments"] if self.profile == "o3" else [])):
            if module not in started:
                yield Needed("module", module, "module", module, module, why="module")
        seen: set[str] = set()
        concepts: list[Needed] = []
        for one in needed(self.openmrs, self.titles, self.names, self.ciel):
            if one.reference in seen:
                continue
            seen.add(one.reference)
            row = await self.rest.get(f"{one.path}/{one.reference}")
            if row is not None:
                if row.get("retired"):
                    yield replace(one, bodies=(), why="retired")
            elif one.ciel and one.bodies:
                concepts.append(one)
            elif not (one.kind == "concept" and concepts):
                yield one
            else:
                concepts.append(one)  # in their order: an answer before its question
        if concepts:
            async for one in self._mapped(concepts):
                yield one
        if "idgen" in started:
            async for one in self._source():
                yield one
        if self.profile == "o3" and "appointments" in started:
            async for one in self._services():
                yield one
        async for one in self._role():
            yield one

    async def _mapped(self, concepts: Sequence[Needed]) -> AsyncIterator[Needed]:
        """Concepts of CIEL, each with its term and mapping."""
        sources = [one async for one in self._pages("conceptsource")]
        source = next((uuid_of(one) for one in sources if one.get("display") == "CIEL"), "")
        known = bool(source)
        if not known:
            source = self.names.uuid("openmrs", "conceptsource", "CIEL")
            body = {"uuid": source, "name": "CIEL", "hl7Code": "CIEL"}
            body |= {"description": "Columbia International eHealth Laboratory"}
            yield Needed("concept_source", "CIEL", "", source, "CIEL", [("conceptsource", body)])  # 013
        types = [one async for one in self._pages("conceptmaptype")]
        same = next((uuid_of(one) for one in types if one.get("display") == "SAME-AS"), "")  # 014
        for one in concepts:
            if not one.ciel or not one.bodies:
                yield one
                continue
            found = await self._term(source, one.ciel) if known else ""
            term = found or self.names.uuid("openmrs", "conceptreferenceterm", one.ciel)
            bodies: list[tuple[str, Json]] = []
            if not found:
                bodies.append(
                    (
                        "conceptreferenceterm",
                        {"uuid": term, "code": one.ciel, "conceptSource": source, "name": one.name},  # 015
                    )
                )
            mapping = {"conceptReferenceTerm": term, "conceptMapType": same}
            uuid = uuid_of_ciel(one.reference)
            if await self.rest.get(f"concept/{uuid}") is None:
                bodies += [(path, {**body, "mappings": [mapping]}) for path, body in one.bodies]  # 016
            else:  # the concept is there, and only not found by its number
                bodies.append((f"concept/{uuid}/mapping", mapping))
            yield replace(one, bodies=bodies)

    async def _term(self, source: str, code: str) -> str:
        """The term of this code, living or retired; "" when there is none."""
        page = await self.rest.get("conceptreferenceterm", source=source, codeOrName=code, v="custom:(uuid,code)")
        return next((uuid_of(one) for one in listed((page or {}).get("results") or []) if one.get("code") == code), "")

    async def _source(self) -> AsyncIterator[Needed]:
        """The source is known by the uuid of openmrs.yaml; one that gives numbers of its type is found by that."""
        wanted = str(self.openmrs.get("idgen_source") or "")
        kind = str((self.openmrs.get("identifier_types") or {}).get("openmrs_id") or "")
        page = await self.rest.get("idgen/identifiersource", v="default")
        rows = listed((page or {}).get("results") or [])
        if not wanted or any(one.get("uuid") == wanted for one in rows):
            return
        there = next((one for one in rows if ref(one, "identifierType") == kind), None)
        name = "Generator for OpenMRS ID"
        if there is not None:
            words = [uuid_of(there)]
            yield Needed("identifier_source_uuid", "idgen_source", "", wanted, name, why="write", words=words)
            return
        row = await self.rest.get(f"patientidentifiertype/{kind}")
        validator = row.get("validator") if row is not None else LUHN_MOD_30  # as it will be made
        if validator not in (None, "", LUHN_MOD_30):
            words = [str(validator).rpartition(".")[2]]
            yield Needed("identifier_source", "idgen_source", "", wanted, name, why="validator", words=words)
            return
        body = identifier_source(kind, validator)
        yield Needed("identifier_source", "idgen_source", "", wanted, name, [("idgen/identifiersource", body)])

    async def _services(self) -> AsyncIterator[Needed]:
        """A service is known by the uuid of openmrs.yaml; one made by us is found again by its name."""
        there = await self.rest.list("appointmentService/all/default")
        for area, place in (self.openmrs.get("places") or {}).items():
            uuid = str(place.get("service") or "")
            if not uuid or any(str(one.get("uuid")) == uuid for one in there):
                continue
            name = f"Consultation {self.titles.get(area, area)}"
            where = f"places.{area}.service"
            made = next((one for one in there if one.get("name") == name), None)
            if made is not None:
                words = [str(made.get("uuid"))]
                yield Needed("appointment_service_uuid", where, "", uuid, name, why="write", words=words)
                continue
            body = {"name": name, "description": name, "durationMins": 15, "locationUuid": place["location"]}
            yield Needed("appointment_service", where, "", uuid, name, [("appointmentService", body)])

    # ------------------------------------------------------------ the account of Relais and its role

    async def _role(self) -> AsyncIterator[Needed]:
        """Privileges are known by name, the role by our uuid or its name. An account that has all it needs has its
        role, whatever that is called."""
        session = await self.own.get("session") or {}
        user = session.get("user") if session.get("authenticated") else None
        if not isinstance(user, Mapping):
            yield Needed("account", "account", "", "", "Relais", why="account")
            user = None
        has = held(user or {})
        lacking = [names for names in (*groups(self.profile), *((one,) for one in ADVISED)) if has.isdisjoint(names)]
        if user is not None and not superuser(user) and not lacking:
            return
        try:
            known = {str(one.get("display")): uuid_of(one) async for one in self._pages("privilege")}  # 049-051
            view = "custom:(uuid,display,privileges:(uuid,display))"
            roles = [one async for one in self._pages("role", view)]
        except Stop as stop:
            if stop.code != "openmrs.privilege":
                raise
            yield Needed("role", "role", "", ROLE, ROLE, why="unseen")
            return
        asked = [*(names[0] for names in groups(self.profile)), *ADVISED]
        for name in asked:
            if name not in known:
                yield Needed("privilege", name, "", name, name, why="privilege")
        wanted = {name: known[name] for name in asked if name in known}
        ours = self.names.uuid("openmrs", "role")
        role = next((one for one in roles if one.get("uuid") == ours), None) or next(
            (one for one in roles if str(one.get("display")).lower() == ROLE.lower()), None
        )
        uuid = uuid_of(role) if role is not None else ours
        if role is None:
            body = {"uuid": ours, "name": ROLE, "description": "What Relais needs for referrals: see relais doctor"}
            body |= {"privileges": list(wanted.values()), "inheritedRoles": []}  # type: ignore[dict-item]
            yield Needed("role", "role", "", ours, ROLE, [("role", body)])  # 052
        else:
            there = {str(one.get("display")): uuid_of(one) for one in listed(role.get("privileges") or [])}
            if wanted.keys() - there.keys():  # the list is the whole list (754, 842)
                body_ = {"privileges": list({**there, **wanted}.values())}
                yield Needed("role_privileges", "role", "", uuid, ROLE, [(f"role/{uuid}", body_)])
        if user is not None and not superuser(user):
            given = [uuid_of(one) for one in listed(user.get("roles") or [])]
            if uuid not in given:  # here, too, the list is the whole list (840)
                path = f"user/{uuid_of(user)}"
                name = str(user.get("username") or user.get("display") or "")
                yield Needed("account_role", "account", "", path, name, [(path, {"roles": [*given, uuid]})])

    async def _pages(self, path: str, view: str = "custom:(uuid,display)") -> AsyncIterator[Json]:
        for page in range(_PAGES):
            answer = await self.rest.get(path, v=view, limit=str(_PAGE), startIndex=str(page * _PAGE))
            rows = listed((answer or {}).get("results") or [])
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return


def _lack(one: Needed) -> Lack:
    en, fr = _WHY[one.why] if one.why else ("", "")
    name = one.name or one.reference
    return Lack(one.kind, one.place, name, en.format(*one.words), fr.format(*one.words))


def _finding(text: str) -> Finding:
    return Finding(
        "openmrs.metadata_refused",
        Severity.ERROR,
        f"OpenMRS refused {text}",
        "An administrator of OpenMRS makes it there; or run it again with --user of an account that may.",
        who=Who.TARGET_ADMIN,
        french=(
            f"OpenMRS a refusé {text}",
            "",
            "Un administrateur d'OpenMRS le crée là-bas ; ou recommencez avec --user d'un compte qui en a le droit.",
        ),
    )


def _trouble(name: str, stop: Stop) -> TargetRefused | TargetUnreadable:
    why = REASONS[stop.code]
    if stop.code in _OF_ACCOUNT:
        return TargetRefused.after(f"{name} : {why.fr}", f"{name}: {why.en}")
    return TargetUnreadable.because(stop.code, why, name)
