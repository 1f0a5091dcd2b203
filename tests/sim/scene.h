/*
 * scene.h - what a seed stands for: who is there, what is submitted, and what happens when.
 *
 * A scene has two acts.  In the first everything goes wrong that may: hosts are down or break,
 * Redis goes away, the life of the node changes, the configuration is reloaded, the engine
 * drains and starts again.  Then all are well, and what is still open has to come to its end.
 */
#ifndef VOLLEY_TESTS_SIM_SCENE_H
#define VOLLEY_TESTS_SIM_SCENE_H

#include "conf/conf.h"
#include "engine/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum scene_kind { SCENE_SINK, SCENE_ROUTES, SCENE_MX, SCENE_MIXED, SCENE_KINDS };

struct scene {
    enum scene_kind kind;
    unsigned workers;
    unsigned domains;
    unsigned routes;
    unsigned route_hosts[4][3]; /* index in hosts.h */
    unsigned route_host_count[4];
    unsigned level;     /* 0: nothing goes wrong; 1: servers only; 2: everything */
    int64_t heal_us;    /* when the second act begins */
    int64_t horizon_us; /* when every recipient must have his end */
    int64_t expires_us;
    bool cut;         /* what was on the wire was cut */
    bool names_taken; /* a reload took a source or route away for a while */
    bool over;
    unsigned reloads;
};

extern struct scene scene;

/* Draws the scene, and puts its events into the world. */
void scene_make(void);

/* A configuration that fits the scene.  The first is the full one; later ones may lack a source,
 * a route or a rule, and have other limits. */
struct conf *scene_conf(bool full);

/* A list became non-empty: some worker may hear of it. */
void scene_bell(struct slice list);

#endif
