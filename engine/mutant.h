/* Broken variants of the protocol, which the simulator must catch: each leaves out one rule. In the
 * product MUTANT(...) is the constant 0; only tests/sim builds the steps with FOLDMILL_MUTANTS. */
#ifndef FOLDMILL_MUTANT_H
#define FOLDMILL_MUTANT_H

enum mutant {
    MUTANT_NONE,
    MUTANT_COUNTS_ARRIVALS,   /* 1: the sink takes what comes instead of what it asked for */
    MUTANT_RESUMES_BEYOND,    /* 2: resumes from another position than the checkpoint's */
    MUTANT_SKIPS_EARLY,       /* 3: skips before the coordinator's record is durable */
    MUTANT_NO_DEADLINE,       /* 4: asks once */
    MUTANT_BLAMES_IN_FLIGHT,  /* 5: a crash strikes all that the process held */
    MUTANT_NO_DATA_GEN,       /* 6: takes data of another generation */
    MUTANT_NO_QUEUE_DEDUP,    /* 7: queues a request as often as it comes */
    MUTANT_KEEPS_CREDITS,     /* 8: a dead worker's credits are not given back */
    MUTANT_NO_CKPT_GEN,       /* 9: a checkpoint of an old generation moves the pointer */
    MUTANT_TAKES_PROPOSED,    /* 10: takes data for a position that it proposed to set aside */
    MUTANT_COUNTS_CREDITS,    /* 11: credits only by increments, not by held lists */
    MUTANT_ANSWERS_EARLY,     /* 12: the coordinator answers before its record is durable */
    MUTANT_NEVER_WAKES,       /* 13: an urgent key is called once, and its commit wakes nobody */
    MUTANT_TRUSTS_FLIGHT,     /* 14: a strike for every failure, also those without blame */
    MUTANT_FORGETS_LEAD,      /* 15: queues as requests come, whatever their samples cost */
    MUTANT_OVERTAKES_FREELY,  /* 16: overtakes without a bound */
    MUTANT_TAKES_OTHER_PASSES,/* 17: takes what was made with the passes of another step */
    MUTANT_FORGETS_TAKEN,     /* 18: resumes without what earlier steps took out of turn */
    MUTANT_PLANS_ANEW,        /* 19: takes what is there, though the journal says what was taken */
    MUTANTS
};

#ifdef FOLDMILL_MUTANTS
extern enum mutant mutant_on;
#define MUTANT(which) (mutant_on == (which))
#else
#define MUTANT(which) 0
#endif

#endif
