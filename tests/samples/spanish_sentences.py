"""Spanish sentences of a land-registry office, put together from parts: varied and repeatable."""

from __future__ import annotations

import random
import re

_SLOT = re.compile(r"\{(\w+)\}")

PARTS: dict[str, tuple[str, ...]] = {
    "tramite": (
        "el certificado catastral",
        "el avalúo del predio",
        "la radicación de la mutación",
        "el impuesto predial",
        "la plancha topográfica",
        "la corrección de área",
        "el cambio de propietario",
        "la inscripción de mejoras",
        "el desenglobe del lote",
        "el englobe de dos predios",
        "la rectificación de linderos",
        "la cabida y linderos",
        "la revisión del avalúo",
        "el boletín catastral",
        "la nomenclatura oficial",
        "el plano predial",
        "la conservación catastral",
        "la certificación de no propiedad",
        "la incorporación de la construcción",
        "el registro alfanumérico",
    ),
    "predio": (
        "del apartamento",
        "de la casa",
        "del lote",
        "del local comercial",
        "de la bodega",
        "del parqueadero",
        "de la finca",
        "del edificio",
        "de la oficina",
        "del predio rural",
        "de la urbanización",
        "del depósito",
    ),
    "barrio": (
        "Chapinero",
        "Suba",
        "Engativá",
        "Kennedy",
        "Usaquén",
        "Fontibón",
        "Teusaquillo",
        "Bosa",
        "La Candelaria",
        "Ciudad Bolívar",
        "Puente Aranda",
        "Barrios Unidos",
        "San Cristóbal",
        "Rafael Uribe Uribe",
        "Tunjuelito",
        "Los Mártires",
        "Antonio Nariño",
        "Santa Fe",
        "Usme",
        "Sumapaz",
    ),
    "documento": (
        "la cédula de ciudadanía",
        "el certificado de tradición y libertad",
        "la escritura pública",
        "el poder autenticado",
        "el recibo del predial",
        "la licencia de construcción",
        "el plano protocolizado",
        "la cédula catastral",
        "el número CHIP",
        "la matrícula inmobiliaria",
        "el folio del registro",
        "el certificado de existencia y representación",
        "la carta de solicitud firmada",
        "el NIT de la empresa",
    ),
    "canal": (
        "en la ventanilla virtual",
        "en el SuperCADE de la carrera 30",
        "por Catastro en Línea",
        "en el punto de atención de Suba",
        "por el correo de correspondencia",
        "en la sede principal",
        "por la línea 195",
        "en la red CADE",
        "en el portal de servicios",
        "con cita previa en la sede norte",
    ),
    "plazo": (
        "quince días hábiles",
        "treinta días hábiles",
        "dos meses",
        "cinco días hábiles",
        "tres semanas",
        "el cierre de la vigencia",
        "el próximo censo inmobiliario",
        "diez días calendario",
        "el fin del trimestre",
    ),
    "verbo": (
        "consultar",
        "descargar",
        "solicitar",
        "radicar",
        "verificar",
        "corregir",
        "actualizar",
        "pagar",
        "revisar",
        "imprimir",
        "objetar",
        "reclamar",
        "adjuntar",
        "anexar",
    ),
    "estado": (
        "en estudio técnico",
        "asignada a un reconocedor",
        "pendiente de visita",
        "devuelta por falta de requisitos",
        "notificada por aviso",
        "archivada",
        "en reparto",
        "resuelta de fondo",
        "en segunda revisión",
    ),
    "razon": (
        "porque el área construida no coincide",
        "porque la dirección cambió con la nueva nomenclatura",
        "porque el folio está a nombre de otra persona",
        "para tramitar un crédito hipotecario",
        "para la sucesión de mis padres",
        "para vender el inmueble",
        "para un proceso judicial",
        "porque el avalúo subió demasiado",
        "porque el plano tiene un error",
        "para la declaración de renta",
    ),
    "norma": (
        "la Resolución 1149 de 2021",
        "la Ley 14 de 1983",
        "el Decreto 148 de 2020",
        "la Ley 1995 de 2019",
        "el artículo 4 de la Resolución 70",
        "la Ley 1437 de 2011",
        "el Acuerdo 648 de 2016",
    ),
    "saludo": (
        "Buenos días",
        "Buenas tardes",
        "Hola",
        "Cordial saludo",
        "Muy buenas",
        "Qué pena molestar",
        "Señores Catastro",
    ),
}

QUESTIONS = (
    "{saludo}, ¿cómo puedo {verbo} {tramite} {predio} en {barrio}?",
    "¿Qué documentos necesito para {verbo} {tramite}?",
    "¿Dónde se puede {verbo} {documento}?",
    "Necesito {verbo} {tramite} {predio} {razon}.",
    "¿Cuánto demora {tramite} si ya entregué {documento}?",
    "{saludo}, la radicación 2025-{n} sigue {estado}, ¿qué debo hacer?",
    "¿Por qué {tramite} {predio} aparece con el CHIP AAA0{n}XYZW?",
    "¿Puedo {verbo} {documento} {canal} o debo ir en persona?",
    "Mi cédula catastral es 00{n}{n} y no encuentro {documento}.",
    "¿Me ayuda con {tramite}? Es {razon}",
    "¿Cuál es el costo de {tramite} {predio} este año?",
    "No me deja {verbo} {tramite} {canal}.",
)

ANSWERS = (
    "Para {verbo} {tramite} {predio} debe presentar {documento} {canal}.",
    "El término para resolver es de {plazo}, según {norma} (página {n}).",
    "Si la dirección Calle {n} # {n} está en {barrio}, puede acercarse con {documento} "
    "o enviarlo {canal}, extensión {n}.",
    "Recuerde que {tramite} no tiene costo (código {n}-{n}) y que puede {verbo} {documento} {canal}.",
    "La solicitud 2025-{n} se encuentra {estado}; le llegará la respuesta antes de {plazo}.",
    "También puede {verbo} {documento} con el CHIP AAA0{n}XYZW {canal}.",
    "Tenga en cuenta que {norma}, artículo {n}, exige {documento} cuando se va a {verbo} {tramite}.",
    "Una vez radicada, un reconocedor visita el inmueble {predio} en {barrio}, manzana {n}, dentro de {plazo}.",
    "Si no está de acuerdo con {tramite}, puede {verbo} la decisión dentro de {plazo}.",
    "El valor de referencia {predio} se actualiza cada año por el censo inmobiliario ({n} manzanas en {barrio}).",
    "Le sugiero {verbo} primero {documento} (folio 50C-{n}{n}) y luego {tramite}, turno {n}.",
    "Cuando {tramite} está {estado}, el sistema envía un aviso {canal}.",
)


def sentence(rng: random.Random, patterns: tuple[str, ...]) -> str:
    """One sentence: a pattern with every slot drawn anew (`{n}` is a number of four digits)."""
    return _SLOT.sub(lambda slot: _part(rng, slot[1]), rng.choice(patterns))


def question(rng: random.Random) -> str:
    """What a citizen would ask."""
    return sentence(rng, QUESTIONS)


def answer(rng: random.Random, sentences: int) -> str:
    """What the assistant would answer, in `sentences` sentences."""
    return " ".join(sentence(rng, ANSWERS) for _ in range(sentences))


def _part(rng: random.Random, name: str) -> str:
    return str(rng.randrange(1000, 10000)) if name == "n" else rng.choice(PARTS[name])
