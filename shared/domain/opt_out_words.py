"""What a shopper says who wants no more messages, in the languages of the shops.

Only a message that says nothing else counts: "please stop" does, "stop, I have paid already" is for a person to read.
English: the words that 47 CFR 64.1200(a)(10) names, CTIA's keywords, and the button of Meta's marketing templates.
The others are the words of the same meaning that messages in these languages ask for (Turkey's RET and IPTAL among
them) or that shoppers write by themselves. Wrongly taken, a word costs a reminder; wrongly passed over, it costs the
merchant's number.
"""

import re
import unicodedata
from typing import Final

_WORDS: Final = """
stop|stop all|stopall|stop it|stop now|stop promotions|stop messages|stop messaging|stop messaging me|stop sending
stop sending messages|unsubscribe|unsubscribe me|unsub|opt out|optout|opt me out|quit|end|revoke|cancel|remove me
no more messages|do not message me|don't message me|dont message me|do not disturb|dnd
band karo|band kare|band karen|bandh karo|mat bhejo|message mat bhejo|बंद|बंद करो|बंद करें|बंद कीजिए|रोको|रोकें|मत भेजो
बंद करा|थांबा|थांबवा|বন্ধ|বন্ধ করুন|বন্ধ করো|બંધ|બંધ કરો|ਬੰਦ ਕਰੋ|நிறுத்து|நிறுத்தவும்|ఆపు|ఆపండి|ನಿಲ್ಲಿಸಿ|നിർത്തുക|നിർത്തൂ
بند کرو|بند کریں|توقف|إيقاف|ايقاف|أوقف|الغاء|إلغاء|إلغاء الاشتراك|الغاء الاشتراك|הסר|הסירו
dur|ret|iptal|berhenti|stopp|abmelden|abbestellen|austragen|keine werbung
arrêt|arret|arrêter|arreter|arrêtez|se désabonner|me désabonner|désabonner|desabonner|désinscription|désinscrire
alto|basta|baja|parar|para|dar de baja|darme de baja|cancelar|no más mensajes|no mas mensajes
pare|sair|descadastrar|remover|cancelar inscrição|ferma|cancellami|disiscrivimi|annulla iscrizione
afmelden|uitschrijven|стоп|отписаться|отписка|отпишите|отпишите меня|停止|配信停止|退订|退訂|取消订阅
"""
_POLITE: Final = re.compile(r"^(?:please|pls|plz|kindly|bitte|por favor|s'il vous plaît) | (?:please|pls|plz|bitte)$")


def _plain(text: str) -> str:
    """Small letters and single spaces; what is neither letter, number, mark nor apostrophe is a space."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    kept = "".join(
        character
        if character == "'" or unicodedata.category(character)[0] in "LNM"
        else ""
        if unicodedata.category(character) == "Cf"
        else " "
        for character in folded
    )
    # The apostrophe is part of a word; around one it is a quotation mark.
    return " ".join(word.strip("'") for word in kept.split()).strip()


_KNOWN: Final = frozenset(_plain(word) for line in _WORDS.split("\n") for word in line.split("|") if word.strip())
_LONGEST: Final = 64


def asks_to_stop(text: str) -> bool:
    """Whether a message says this and nothing else."""
    said = _plain(text) if len(text) <= _LONGEST else ""
    return said in _KNOWN or _POLITE.sub("", said) in _KNOWN
