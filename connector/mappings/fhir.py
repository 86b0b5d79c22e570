"""Activities, people and totals as FHIR R4 resources: plain dicts, the same input always giving the same bytes.

Nothing that changes from run to run goes into a resource, no mapping version and no ``meta`` (a new tag makes a new
version of everything at the server: recordings/hapi-fhir-8.8, 09-13). Numbers are canonical for the same reason:
``39.10`` and ``39.1`` are two versions of one resource.

References. A literal ``Patient/<id>`` only where that patient is known, because servers refuse what points at nothing
(HAPI-1094); otherwise, and for places and workers always, a logical reference: identifier and code, never a name.

What becomes what is said by the pack: ``ActivityKind.fhir`` gives the shape of an activity, ``Concept.fhir`` says

- ``resource: Observation`` with ``category`` (a code of HL7's observation-category): the fact of the concept's name
  is an Observation; a list of answers is one Observation per possible answer, true or false;
- ``condition: <concept id>``: the fact also makes this provisional Condition, when it is true, or equal to ``when``
  (a value or a list), or less than ``below``. Several facts may make the same one.

The resources of one builder share their constant parts: change none of them in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from connector.identity import Names
from connector.mappings import fhir_answers, fhir_measure, fhir_registry
from connector.mappings.fhir_measure import CellValue
from connector.mappings.fhir_templates import (
    Diagnosis,
    KindTemplate,
    Sign,
    concept_template,
    diagnosis,
    kind_template,
)
from connector.mappings.fhir_terms import TERMINOLOGY, Ids, Json, Terms, coded, logical, partial_day, source_system
from connector.mappings.pack import DataSet, Pack
from connector.model import Activity, Entity, Referral

_ACTIVE = coded(TERMINOLOGY + "condition-clinical", "active")
_PROVISIONAL = coded(TERMINOLOGY + "condition-ver-status", "provisional")
_ENCOUNTER_DIAGNOSIS = [coded(TERMINOLOGY + "condition-category", "encounter-diagnosis")]
_FULFILL = coded("http://hl7.org/fhir/CodeSystem/task-code", "fulfill")
#: The business status that a referral starts with in the BSeR guide ("Service Request Created").
_CREATED = coded("urn:relais:referral-status", "2.0")


@dataclass(frozen=True, slots=True)
class _Visit:
    """What all resources of one visit share."""

    source: str
    key: str
    system: str
    when: str
    subject: Json | None
    worker: Json | None
    encounter: Json


class FhirBuilder:
    """Builds the resources of one pack. Construction prepares a template per concept; the methods are pure."""

    def __init__(self, pack: Pack, names: Names) -> None:
        self.pack = pack
        self.zone = ZoneInfo(pack.zone)
        self._ids = Ids(names)
        self._terms = Terms(pack)
        concepts = pack.concepts.values()
        templates = {concept.id: concept_template(concept, self._terms) for concept in concepts}
        self._concepts = {id: template for id, template in templates.items() if template is not None}
        leads = {concept.id: diagnosis(concept, self._terms) for concept in concepts}
        self._diagnoses = {id: one for id, one in leads.items() if one is not None}
        self._kinds = {id: kind_template(kind, self._terms) for id, kind in pack.activities.items()}

    def resource_id(self, kind: str, *parts: str) -> str:
        """The id of a resource: UUIDv5 of resource type, source, key and, where one key has several, role."""
        return self._ids(kind, *parts)

    # -- activities

    def activity_resources(
        self, activity: Activity, facts: Mapping[str, Any], *, person_known: bool, subject: Entity | None = None
    ) -> list[Json]:
        """The resources of one activity, parents before children. ``facts``: the activity's, completed.

        ``person_known``: the subject (a person; for a visit to a household, the household) is registered. An
        activity kind without a FHIR shape gives none. ``subject``: her registration, where it may be under another id
        than the record's: of a person registered twice the one that is kept.
        """
        kind = self._kinds.get(activity.kind)
        if kind is None:
            return []
        match kind.shape:
            case "encounter":
                return self._encounter(activity, kind, facts, self._subject(activity, kind, person_known, subject))
            case "questionnaire_response":
                return [self._questionnaire_response(activity, self._subject(activity, kind, person_known, subject))]
            case "task":
                return [self._quality_task(activity, kind)]
        return []

    def _encounter(
        self, activity: Activity, kind: KindTemplate, facts: Mapping[str, Any], subject: Json | None
    ) -> list[Json]:
        source, key, system = activity.source, activity.key, source_system(activity.source)
        id = self._ids("Encounter", source, key)
        when = self._when(activity)
        worker = _worker(activity)
        visit = _Visit(source, key, system, when, subject, worker, {"reference": f"Encounter/{id}"})
        encounter: Json = {
            "resourceType": "Encounter",
            "id": id,
            "identifier": [{"system": system, "value": key}],
            "status": "finished",
            "class": kind.klass,
            "type": kind.type,
            "period": {"start": when},
        }
        if subject:
            encounter["subject"] = subject
        if worker:
            encounter["participant"] = [{"individual": worker}]
        if activity.place:
            encounter["location"] = [{"location": logical("Location", system, activity.place)}]
        made = [encounter]
        observed: dict[str, str] = {}
        for name, value in facts.items():
            template = self._concepts.get(name)
            if template is None or value is None:
                continue
            for sign, written in template.observations(value):
                observation = self._observation(visit, sign, written)
                observed[sign.role] = observation["id"]
                made.append(observation)
        if subject:  # R4 wants a subject for these
            concluded = {
                one.role: one for name, one in self._diagnoses.items() if name in facts and one.made_by(facts[name])
            }
            made += [self._condition(visit, one) for one in concluded.values()]
            if activity.referral is not None:
                made += self._referral(activity.referral, visit, observed)
        return made

    def _observation(self, visit: _Visit, sign: Sign, written: tuple[str, Any]) -> Json:
        observation: Json = {
            "resourceType": "Observation",
            "id": self._ids("Observation", visit.source, visit.key, sign.role),
            "identifier": [{"system": visit.system, "value": f"{visit.key}#{sign.role}"}],
            "status": "final",
            "code": sign.code,
            "encounter": visit.encounter,
            "effectiveDateTime": visit.when,
            written[0]: written[1],
        }
        if sign.category:
            observation["category"] = sign.category
        if visit.subject:
            observation["subject"] = visit.subject
        return observation  # who observed stands in the encounter, once

    def _condition(self, visit: _Visit, concluded: Diagnosis) -> Json:
        condition: Json = {
            "resourceType": "Condition",
            "id": self._ids("Condition", visit.source, visit.key, concluded.role),
            "identifier": [{"system": visit.system, "value": f"{visit.key}#{concluded.role}"}],
            "clinicalStatus": _ACTIVE,
            "verificationStatus": _PROVISIONAL,
            "category": _ENCOUNTER_DIAGNOSIS,
            "code": concluded.code,
            "subject": visit.subject,
            "encounter": visit.encounter,
            "recordedDate": visit.when,
        }
        if visit.worker:
            condition["recorder"] = visit.worker
        return condition

    def _referral(self, referral: Referral, visit: _Visit, observed: Mapping[str, str]) -> list[Json]:
        id = self._ids("ServiceRequest", visit.source, visit.key, "referral")
        priority = "urgent" if referral.urgent else "routine"
        request: Json = {
            "resourceType": "ServiceRequest",
            "id": id,
            "identifier": [{"system": visit.system, "value": f"{visit.key}#referral"}],
            "status": "active",
            "intent": "order",
            "priority": priority,
            "code": self._terms.code("referral"),
            "subject": visit.subject,
            "encounter": visit.encounter,
            "authoredOn": visit.when,
        }
        task: Json = {
            "resourceType": "Task",
            "id": self._ids("Task", visit.source, visit.key, "referral-task"),
            "identifier": [{"system": visit.system, "value": f"{visit.key}#referral-task"}],
            "status": "requested",
            "businessStatus": _CREATED,
            "intent": "order",
            "priority": priority,
            "code": _FULFILL,
            "focus": {"reference": f"ServiceRequest/{id}"},
            "for": visit.subject,
            "encounter": visit.encounter,
            "authoredOn": visit.when,
        }
        if visit.worker:
            request["requester"] = task["requester"] = visit.worker
        if referral.to:
            task["owner"] = logical("Organization", visit.system, referral.to)
            request["performer"] = [task["owner"]]
        reasons = dict.fromkeys(reason for reason in (referral.reason, *referral.reasons) if reason)
        if reasons:
            request["reasonCode"] = [self._terms.code(reason) for reason in reasons]
        seen = [{"reference": f"Observation/{observed[role]}"} for role in reasons if role in observed]
        if seen:
            request["supportingInfo"] = seen
        if note := referral.note.strip():
            request["note"] = [{"text": note}]
        return [request, task]

    def _questionnaire_response(self, activity: Activity, subject: Json | None) -> Json:
        system = source_system(activity.source)
        response: Json = {
            "resourceType": "QuestionnaireResponse",
            "id": self._ids("QuestionnaireResponse", activity.source, activity.key),
            "identifier": {"system": system, "value": activity.key},
            "questionnaire": f"urn:relais:questionnaire:{activity.form}",
            "status": "completed",
            "authored": self._when(activity),
        }
        if subject:
            response["subject"] = subject
        if worker := _worker(activity):
            response["author"] = worker
        if items := fhir_answers.items(activity.facts, self.pack.concepts, self._terms):
            response["item"] = items
        return response

    def _quality_task(self, activity: Activity, kind: KindTemplate) -> Json:
        """A quality improvement action: due by the planned day, done when its day of completion is there."""
        system = source_system(activity.source)
        due, done = (partial_day(activity.facts.get(name)) for name in (kind.due, kind.done))
        task: Json = {
            "resourceType": "Task",
            "id": self._ids("Task", activity.source, activity.key),
            "identifier": [{"system": system, "value": activity.key}],
            "status": "completed" if done else "requested",
            "intent": "plan",
            "code": self._terms.code("qi-action"),
            "authoredOn": self._when(activity),
        }
        if activity.place:
            task["for"] = logical("Location", system, activity.place)
        if due:
            task["restriction"] = {"period": {"end": due}}
        if done:
            task["executionPeriod"] = {"end": done}
        if worker := _worker(activity):
            task["requester"] = worker
        return task

    def _when(self, activity: Activity) -> str:
        """The moment in the pack's zone with seconds and offset; the bare day where no time of that day is known."""
        if activity.at is not None:
            local = activity.at.astimezone(self.zone)
            if local.date() == activity.date:
                return local.isoformat(timespec="seconds")
        return activity.date.isoformat()

    def _subject(
        self, activity: Activity, kind: KindTemplate, known: bool, registered: Entity | None = None
    ) -> Json | None:
        system = source_system(activity.source)
        match kind.subject:
            case "worker":
                return logical("Practitioner", system, activity.subject) if activity.subject else None
            case "place":
                return logical("Location", system, activity.place) if activity.place else None
            case "person":
                resource_type, key = "Patient", activity.subject
            case "group":
                resource_type, key = "Group", activity.subject or activity.place
            case _:
                return None
        if not key:
            return None
        if known:
            source = activity.source
            if registered is not None and registered.kind == "person" and resource_type == "Patient":
                source, key = registered.source, registered.key
            return {"reference": f"{resource_type}/{self._ids(resource_type, source, key)}"}
        return {"type": resource_type, "identifier": {"system": system, "value": key}}

    # -- people and groups

    def entity_resources(self, entity: Entity, *, replaced_by: Entity | None = None) -> list[Json]:
        """Patient of a person, Group of a household or savings group; nothing for other places and for workers.
        ``replaced_by``: the registration that is kept of a person who was registered twice."""
        return fhir_registry.entity_resources(self._ids, self._terms, entity, replaced_by)

    def group_of(self, activity: Activity, facts: Mapping[str, Any]) -> Json | None:
        """The savings group that a meeting names. It is registered nowhere else, so its meetings tell of it."""
        kind = self._kinds.get(activity.kind)
        if kind is None or kind.shape != "questionnaire_response" or kind.subject != "group":
            return None
        code = activity.subject or activity.place
        return self.savings_group(activity.source, code, facts.get("group_type")) if code else None

    def savings_group(self, source: str, code: str, group_type: str | None) -> Json:
        """A savings group as a Group without members. ``group_type``: an option or concept id, or None."""
        return fhir_registry.savings_group(self._ids, self._terms, source, code, group_type)

    # -- totals

    def measure_report(self, data_set: DataSet | str, org_unit: str, period: str, cells: Iterable[CellValue]) -> Json:
        """The figures of one block; see ``fhir_measure.measure_report``."""
        return fhir_measure.measure_report(self.pack, self._terms, self._ids, data_set, org_unit, period, cells)

    # -- a referral to a clinic

    def referral_payload(self, activity: Activity, facts: Mapping[str, Any], person: Entity | None) -> Json:
        """The wanted state of a referral, as the OpenMRS target takes it. ValueError when nobody is referred.

        Without ``person`` there is no patient in it and every subject is a logical reference.
        """
        referral = activity.referral
        if referral is None:
            raise ValueError("this activity refers nobody")
        made: dict[str, list[Json]] = {"Encounter": [], "Observation": [], "ServiceRequest": [], "Task": []}
        for resource in self.activity_resources(activity, facts, person_known=person is not None, subject=person):
            made.setdefault(resource["resourceType"], []).append(resource)
        national = person.data.get("national_id") if person is not None else None
        return {
            "number": activity.key,
            **({"national_id": str(national)} if national else {}),
            "date": activity.date.isoformat(),
            "at": activity.at.isoformat(timespec="seconds") if activity.at is not None else None,
            "urgent": referral.urgent,
            "to": referral.to,
            "reason": referral.reason,
            "reasons": list(referral.reasons),
            "note": referral.note,
            "patient": fhir_registry.patient(self._ids, person) if person is not None else None,
            "encounter": next(iter(made["Encounter"]), None),
            "observations": made["Observation"],
            "service_request": next(iter(made["ServiceRequest"]), None),
            "task": next(iter(made["Task"]), None),
            "deleted": False,
        }


def _worker(activity: Activity) -> Json | None:
    """The worker by identifier. What holds a space is a name, not an identifier, and stays with us."""
    worker = activity.worker
    if not worker or worker.split() != [worker]:
        return None
    return logical("Practitioner", source_system(activity.source), worker)
